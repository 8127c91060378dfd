using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Send;

/// <summary>The JSON document of <c>dataplane send</c>.</summary>
internal sealed class SendDocument() : SavedVmDocument("dataplane.send/1")
{
    /// <summary>Where the destination waits.</summary>
    public string? Destination { get; set; }

    /// <summary>Where the guest is now.</summary>
    public GuestPlace Guest { get; set; } = GuestPlace.Here;

    /// <summary>With --postcopy.</summary>
    public PostcopyEntry? Postcopy { get; set; }
}

/// <summary>What instant restore was like.</summary>
/// <param name="StartSeconds">
/// From the package's last byte to the destination's confirmation that the devices are loaded and the guest starts; null if none came.
/// </param>
/// <param name="PackageBytes">The device state.</param>
/// <param name="Requests">How often the destination asked for pages, repetitions included.</param>
/// <param name="RequestedPages">Pages of 4 KiB that it got in answer.</param>
/// <param name="Recoveries">How often a lost link was replaced.</param>
internal sealed record PostcopyEntry(double? StartSeconds, long PackageBytes, long Requests, long RequestedPages, int Recoveries);
