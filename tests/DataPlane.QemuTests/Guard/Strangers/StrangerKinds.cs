namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>All kinds of strangers.</summary>
internal static class StrangerKinds
{
    public static StrangerKind Silent { get; } = new("silent", _ => []);

    public static StrangerKind HalfMagic { get; } = new("half a magic, then silence", _ => StrangerBytes.Main[..2]);

    public static StrangerKind HalfInit { get; } = new("20 bytes of a multifd packet", target => StrangerBytes.MultifdInit(target.Uuid, 0)[..20]);

    public static StrangerKind Http { get; } = new("an HTTP request", _ => StrangerBytes.Http);

    public static StrangerKind Garbage { get; } = new("100 bytes of garbage", _ => StrangerBytes.Garbage(100));

    public static StrangerKind Finish { get; } = new("closed without a byte", _ => []) { Ending = StrangerEnding.Closes };

    public static StrangerKind Reset { get; } = new("reset without a byte", _ => []) { Ending = StrangerEnding.Resets };

    public static StrangerKind IdOutOfRange { get; } =
        new("multifd id = N", target => StrangerBytes.MultifdInit(target.Uuid, target.Channels));

    public static StrangerKind MainTwice { get; } = new("main twice", _ => StrangerBytes.Main) { Timing = StrangerTiming.OnceComplete };

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
        new("another stream version", _ => StrangerBytes.MainOfVersion(4)),
        MainTwice,
        IdOutOfRange,
        new("multifd id 255", target => StrangerBytes.MultifdInit(target.Uuid, 255)),
        new("a wrong UUID", _ => StrangerBytes.MultifdInit(new Guid("deadbeef-dead-beef-dead-beefdeadbeef"), 0)),
        new("another multifd version", target => StrangerBytes.MultifdInit(target.Uuid, 0, version: 2)),
        new("a duplicate multifd id", target => StrangerBytes.MultifdInit(target.Uuid, 0)) { Timing = StrangerTiming.OnceComplete },
        new("more multifd than channels", target => StrangerBytes.MultifdInit(target.Uuid, Math.Max(target.Channels - 1, 0)))
        {
            Timing = StrangerTiming.OnceComplete,
            Count = 12,
        },
        new("a preempt page of an unknown block", _ => StrangerBytes.PreemptRecord("no.such.block", 0x1000)),
        new("a preempt page beyond its block", target => StrangerBytes.PreemptRecord("pc.ram", (ulong)target.RamBytes)),
        // The BIOS moves no page here after the start: nobody ever asks for the last one of a ROM.
        new("a preempt page that nobody asked for", _ => StrangerBytes.PreemptRecord("pc.bios", 0x3f000)),
        new("a lone end of a preempt channel", _ => StrangerBytes.LoneEnd),
        new("a recovery command", _ => StrangerBytes.Recovery),
        new("a TLS ClientHello", _ => StrangerBytes.ClientHello),
    ];

    public static StrangerKind Parse(string name) => All.Single(kind => kind.Name == name);
}
