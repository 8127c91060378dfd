namespace DataPlane.MainStream.Devices;

/// <summary>Where the state of one device lies in <see cref="DeviceState.Sections"/>.</summary>
/// <param name="Name">Name of the device, for PCI devices with their path: <c>0000:00:1f.2/ich9_ahci</c>.</param>
/// <param name="Instance">Tells devices of one name apart.</param>
/// <param name="Version">Version of the device's own format.</param>
/// <param name="Offset">First byte of the body, after the section's header.</param>
/// <param name="Length">Bytes of the body, without the section's footer.</param>
public readonly record struct DeviceSection(string Name, uint Instance, uint Version, int Offset, int Length);
