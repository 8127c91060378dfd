using DataPlane.MainStream.Devices;

namespace DataPlane.Images;

/// <summary>What a file may announce at most.</summary>
/// <param name="MaxRamBytes">Sum of all RAM blocks.</param>
/// <param name="MaxDeviceStateBytes">Device state with its description, which is read into memory.</param>
internal readonly record struct MappedRamLimits(long MaxRamBytes, int MaxDeviceStateBytes = DeviceStateSplitter.DefaultMaxBytes);
