namespace DataPlane.Migration.Destination;

/// <summary>What there is when the main stream has been read to the end of precopy.</summary>
/// <param name="Pages">The guest's memory, and which of its pages have arrived.</param>
/// <param name="Devices">The state of the guest's devices.</param>
/// <param name="Switchover">The switch to postcopy; null if the guest has come by precopy alone.</param>
internal sealed record ArrivedStream(ReceivedPages Pages, DeviceState Devices, PostcopySwitchover? Switchover);

/// <summary>The point of the main stream at which the source has switched to postcopy.</summary>
/// <param name="Pings">The values of the PINGs in the package, which the source wants back when the devices have been loaded.</param>
/// <param name="RamSection">The id of the ram section.</param>
/// <param name="PackageBytes">The size of the package in bytes.</param>
/// <param name="Arrival">The timestamp at which the package was complete.</param>
internal sealed record PostcopySwitchover(
    IReadOnlyList<uint> Pings, uint RamSection, long PackageBytes, long Arrival);
