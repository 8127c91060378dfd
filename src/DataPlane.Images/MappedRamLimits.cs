using DataPlane.MainStream.Devices;

namespace DataPlane.Images;

/// <summary>Limits of what a file may announce.</summary>
/// <param name="MaxRamBytes">Largest sum of all RAM blocks, in bytes.</param>
/// <param name="MaxDeviceStateBytes">Largest device state with its description, in bytes. It is read into memory.</param>
internal readonly record struct MappedRamLimits(long MaxRamBytes, int MaxDeviceStateBytes = DeviceStateSplitter.DefaultMaxBytes);
