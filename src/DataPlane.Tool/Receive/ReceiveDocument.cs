using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>The JSON document of <c>dataplane receive</c>.</summary>
internal sealed class ReceiveDocument() : SavedVmDocument("dataplane.receive/1")
{
    /// <summary>Where the source could connect.</summary>
    public string? Listen { get; set; }

    /// <summary>Where the guest is, as far as this side can tell: absent where the migration failed before it could be here.</summary>
    public GuestPlace? Guest { get; set; }

    /// <summary>When the source switched to postcopy.</summary>
    public ReceivedPostcopyEntry? Postcopy { get; set; }

    /// <summary>Connections turned away, by reason.</summary>
    public IReadOnlyDictionary<string, long>? Refused { get; set; }
}

/// <summary>What was fetched after the switch.</summary>
internal sealed record ReceivedPostcopyEntry(long PackageBytes, long Requests, long RequestedPages, int Recoveries);
