using System.Collections.Immutable;
using DataPlane.Tests.Admission;
using DataPlane.Tests.MainStream;

namespace DataPlane.Tests.Postcopy;

/// <summary>When a stranger comes to a destination that is fetching a guest by postcopy.</summary>
public enum StrangerMoment
{
    BeforeMain,
    Setup,
    Precopy,
    Package,
    Running,
    Paused,
    Recovering,
    End,
}

/// <summary>One kind of connection that is not the source's.</summary>
/// <param name="Bytes">All it ever says.</param>
internal sealed record PostcopyStranger(byte[] Bytes)
{
    /// <summary>Whatever else may come, this is no channel of this migration: it is thrown out.</summary>
    public bool IsProvenFalse { get; init; }

    /// <summary>It says what an honest channel says, and is false only because that channel is there already.</summary>
    public bool IsLate { get; init; }

    /// <summary>It may be the source, come again, and is answered what is here.</summary>
    public bool Recovers { get; init; }

    public Leaving Leaving { get; init; }
}

/// <summary>The guard's list of strangers, for a migration with multifd channels 0 and 1 and a preempt channel.</summary>
internal static class PostcopyStrangers
{
    public const int Channels = 2;

    public static ImmutableSortedDictionary<string, PostcopyStranger> All { get; } = new Dictionary<string, PostcopyStranger>
    {
        ["silent"] = new([]),
        ["half a magic"] = new(Opening.Main[..2]),
        ["20 bytes of an init packet"] = new(Opening.Multifd(0)[..20]) { IsLate = true },
        ["18 bytes of http"] = False(Opening.Http),
        ["100 bytes of garbage"] = False([.. Enumerable.Repeat((byte)0xA5, 100)]),
        ["fin without a byte"] = new([]) { Leaving = Leaving.Finishes },
        ["reset without a byte"] = new([]) { Leaving = Leaving.Resets },
        ["a magic, then reset"] = new(Opening.Main[..4]) { Leaving = Leaving.Resets },
        ["another stream version"] = False(Opening.With(Opening.Main, 7, 4)),
        ["main twice"] = False(Opening.Main) with { IsLate = true },
        ["multifd id = N"] = False(Opening.Multifd(Channels)),
        ["multifd id 255"] = False(Opening.Multifd(255)),
        ["a wrong uuid"] = False(Opening.Multifd(0, Guid.Empty)),
        ["another multifd version"] = False(Opening.With(Opening.Multifd(0), 7, 2)),
        ["a duplicate multifd id"] = False(Opening.Multifd(0)) with { IsLate = true },
        ["a page of an unknown block"] = False([.. Opening.Record(0x1000, Opening.PageFlag, "nowhere"), .. new byte[4096]]),
        ["a page beyond its block"] = False([.. Opening.Record(RecordedStream.Pages << 12, Opening.PageFlag), .. new byte[4096]]),
        ["a page that nobody asked for"] = False([.. Opening.Record(0, Opening.PageFlag, "other"), .. new byte[4096]]),
        ["a lone end"] = new(Opening.End),
        ["a recovery"] = new(Opening.Recovery) { Recovers = true },
        ["a recovery that breaks off"] = new(Opening.Recovery) { Recovers = true, Leaving = Leaving.Resets },
        ["a recovery of an unknown block"] = False([0x08, 0x00, 0x0A, 0x00, 0x08, 0x07, .. "nowhere"u8]),
        ["tls"] = False(Opening.TlsHello),
    }.ToImmutableSortedDictionary(StringComparer.Ordinal);

    private static PostcopyStranger False(byte[] bytes) => new(bytes) { IsProvenFalse = true };
}
