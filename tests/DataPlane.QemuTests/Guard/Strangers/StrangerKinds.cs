namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>All kinds of strangers.</summary>
internal static class StrangerKinds
{
    public static StrangerKind Silent { get; } = new("silent", _ => []);

    public static StrangerKind HalfMagic { get; } = new("half a magic, then silence", _ => StrangerBytes.Main[..2]);

    public static StrangerKind HalfInit { get; } = new(
        "20 bytes of a multifd packet", target => StrangerBytes.MultifdInit(target.Uuid, 0)[..20]);

    public static StrangerKind Http { get; } = new("an HTTP request", _ => StrangerBytes.Http) { IsProvenFalse = true };

    public static StrangerKind Garbage { get; } = new("100 bytes of garbage", _ => StrangerBytes.Garbage(100)) { IsProvenFalse = true };

    public static StrangerKind Finish { get; } = new("closed without a byte", _ => []) { Ending = StrangerEnding.Closes };

    public static StrangerKind Reset { get; } = new("reset without a byte", _ => []) { Ending = StrangerEnding.Resets };

    public static StrangerKind IdOutOfRange { get; } =
        new("multifd id = N", target => StrangerBytes.MultifdInit(target.Uuid, target.Channels)) { IsProvenFalse = true };

    public static StrangerKind MainTwice { get; } =
        new("main twice", _ => StrangerBytes.Main) { IsProvenFalse = true, Timing = StrangerTiming.OnceComplete };

    /// <summary>The whole list: what a port that anybody can reach has to expect.</summary>
    public static IReadOnlyList<StrangerKind> All { get; } =
    [
        Silent,
        HalfMagic,
        HalfInit,
        Http,
        Garbage,
        new("one byte a second", target => StrangerBytes.MultifdInit(target.Uuid, 0)) { Pace = TimeSpan.FromSeconds(1) },
        Finish,
        Reset,
        new("a magic, then reset", _ => StrangerBytes.Main[..4]) { Ending = StrangerEnding.Resets },
        new("another stream version", _ => StrangerBytes.MainOfVersion(4)) { IsProvenFalse = true },
        // Proven false by the honest one: alone they are undecided and hold nobody up.
        new("the 8 bytes of a main channel's header", _ => StrangerBytes.Main[..8]) { IsProvenFalse = true },
        new("a main channel that says its machine and stops", _ => StrangerBytes.Main) { IsProvenFalse = true },
        MainTwice,
        IdOutOfRange,
        new("multifd id 255", target => StrangerBytes.MultifdInit(target.Uuid, 255)) { IsProvenFalse = true },
        new("a wrong UUID", _ => StrangerBytes.MultifdInit(new Guid("deadbeef-dead-beef-dead-beefdeadbeef"), 0)) { IsProvenFalse = true },
        new("another multifd version", target => StrangerBytes.MultifdInit(target.Uuid, 0, version: 2)) { IsProvenFalse = true },
        new("a duplicate multifd id", target => StrangerBytes.MultifdInit(target.Uuid, 0))
        {
            IsProvenFalse = true,
            Timing = StrangerTiming.OnceComplete,
        },
        new("more multifd than channels", target => StrangerBytes.MultifdInit(target.Uuid, Math.Max(target.Channels - 1, 0)))
        {
            IsProvenFalse = true,
            Timing = StrangerTiming.OnceComplete,
            Count = 12,
        },
        new("a preempt page of an unknown block", _ => StrangerBytes.PreemptRecord("no.such.block", 0x1000)) { IsProvenFalse = true },
        new("a preempt page beyond its block",
            target => StrangerBytes.PreemptRecord("pc.ram", (ulong)target.RamBytes)) { IsProvenFalse = true },
        // Nobody asks for a page of a ROM, which has long been sent.
        new("a preempt page that nobody asked for", _ => StrangerBytes.PreemptRecord("pc.bios", 0x3f000)) { IsProvenFalse = true },
        // Not proven false: a preempt channel that carried nothing ends like this.
        new("a lone end of a preempt channel", _ => StrangerBytes.LoneEnd),
        // Not proven false: in postcopy it may be the source, which has noticed the loss of its link before anybody else.
        new("a recovery command", _ => StrangerBytes.Recovery("pc.ram")) { Timing = StrangerTiming.NotWhilePaused },
        new("a recovery command of an unknown block", _ => StrangerBytes.Recovery("no.such.block")) { IsProvenFalse = true },
        new("a TLS ClientHello", _ => StrangerBytes.ClientHello) { IsProvenFalse = true },
    ];

    /// <summary>Those that prove nothing before the source has come.</summary>
    public static IEnumerable<StrangerKind> BeforeTheSource => All.Where(kind => kind.Timing != StrangerTiming.OnceComplete);

    /// <summary>Those that prove nothing while a postcopy is paused.</summary>
    public static IEnumerable<StrangerKind> WhilePaused => All.Where(kind => kind.Timing != StrangerTiming.NotWhilePaused);

    public static StrangerKind Parse(string name) => All.Single(kind => kind.Name == name);
}
