namespace DataPlane.MainStream.Devices;

/// <summary>Where the state of one device lies in <see cref="DeviceState.Sections"/>.</summary>
/// <param name="Name">Name of the device; for a PCI device it includes the path, as in <c>0000:00:1f.2/ich9_ahci</c>.</param>
/// <param name="Instance">Number that distinguishes devices of the same name.</param>
/// <param name="Version">Version of the device's own format.</param>
/// <param name="Offset">Offset of the first byte of the body, which follows the section's header.</param>
/// <param name="Length">Length of the body in bytes, without the section's footer.</param>
public readonly record struct DeviceSection(string Name, uint Instance, uint Version, int Offset, int Length);
