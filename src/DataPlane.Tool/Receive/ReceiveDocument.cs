using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>The JSON document of <c>dataplane receive</c>.</summary>
internal sealed class ReceiveDocument() : SavedVmDocument("dataplane.receive/1")
{
    /// <summary>The address to which the source could connect.</summary>
    public string? Listen { get; set; }

    /// <summary>Where the guest is now: at its source, until the file has it.</summary>
    public GuestPlace Guest { get; set; } = GuestPlace.AtSource;

    /// <summary>
    /// Whether the source has come to get its guest back, after a failure that may have left it with a guest it could not run; null when
    /// there was no such failure.
    /// </summary>
    public bool? GuestReturned { get; set; }

    /// <summary>What was fetched after the switch to postcopy; null when the source did not switch.</summary>
    public ReceivedPostcopyEntry? Postcopy { get; set; }

    /// <summary>Whether the VM is a background snapshot, whose guest runs on at its source; null before the VM has come.</summary>
    public bool? BackgroundSnapshot { get; set; }

    /// <summary>The number of refused connections, by reason.</summary>
    public IReadOnlyDictionary<string, long>? Refused { get; set; }
}

/// <summary>What was fetched after the switch to postcopy.</summary>
internal sealed record ReceivedPostcopyEntry(long PackageBytes, long Requests, long RequestedPages, int Recoveries);
