using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Send;

/// <summary>The JSON document of <c>dataplane send</c>.</summary>
internal sealed class SendDocument() : SavedVmDocument("dataplane.send/1")
{
    /// <summary>The address at which the destination waits.</summary>
    public string? Destination { get; set; }

    /// <summary>Where the guest is now.</summary>
    public GuestPlace Guest { get; set; } = GuestPlace.Here;

    /// <summary>The figures of the postcopy; null without --postcopy.</summary>
    public PostcopyEntry? Postcopy { get; set; }
}

/// <summary>The figures of an instant restore.</summary>
/// <param name="StartSeconds">
/// The time from the package's last byte to the destination's confirmation that the devices are loaded and the guest starts; null if none
/// came.
/// </param>
/// <param name="PackageBytes">The bytes of the package, which holds the device state.</param>
/// <param name="Requests">How often the destination asked for pages, repetitions included.</param>
/// <param name="RequestedPages">The number of pages of 4 KiB that were sent in answer.</param>
/// <param name="Recoveries">How often a lost link was replaced.</param>
internal sealed record PostcopyEntry(double? StartSeconds, long PackageBytes, long Requests, long RequestedPages, int Recoveries);
