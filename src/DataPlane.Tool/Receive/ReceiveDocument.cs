using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>The JSON document of <c>dataplane receive</c>.</summary>
internal sealed class ReceiveDocument() : SavedVmDocument("dataplane.receive/1")
{
    /// <summary>Where the source could connect.</summary>
    public string? Listen { get; set; }

    /// <summary>Where the guest is now: at its source, until the file has it.</summary>
    public GuestPlace Guest { get; set; } = GuestPlace.AtSource;

    /// <summary>
    /// After a failure that may have left the source with a guest it could not run: whether it has come to get it back.
    /// </summary>
    public bool? GuestReturned { get; set; }

    /// <summary>When the source switched to postcopy.</summary>
    public ReceivedPostcopyEntry? Postcopy { get; set; }

    /// <summary>It is a background snapshot: the guest runs on at its source.</summary>
    public bool? BackgroundSnapshot { get; set; }

    /// <summary>Connections turned away, by reason.</summary>
    public IReadOnlyDictionary<string, long>? Refused { get; set; }
}

/// <summary>What was fetched after the switch.</summary>
internal sealed record ReceivedPostcopyEntry(long PackageBytes, long Requests, long RequestedPages, int Recoveries);
