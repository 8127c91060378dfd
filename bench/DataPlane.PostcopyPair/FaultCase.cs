namespace DataPlane.PostcopyPair;

/// <summary>Under what a page is waited for.</summary>
/// <param name="PageBytes">Size of the pages that back the guest, 4 KiB or 2 MiB.</param>
/// <param name="Preempt">Whether there is a preempt channel.</param>
/// <param name="Busy">Background pages keep main full; else next to none is sent that was not asked for.</param>
internal sealed record FaultCase(long PageBytes, bool Preempt, bool Busy)
{
    public const long HugePage = 2 << 20;

    /// <summary>What the background may send where it shall not be in the way, in bytes per second.</summary>
    public const long Trickle = 4 << 20;

    public static IReadOnlyList<FaultCase> All { get; } =
    [
        .. from page in (long[])[TargetPage.Size, HugePage]
           from preempt in (bool[])[true, false]
           from busy in (bool[])[false, true]
           select new FaultCase(page, preempt, busy),
    ];

    public bool IsHuge => PageBytes == HugePage;

    /// <summary>Small where the guest waits for every page; large where it has only as long as the background takes.</summary>
    public int RamMiB => Busy || IsHuge ? 1024 : 64;

    public long? BackgroundLimit => Busy ? null : Trickle;

    public string Name => $"{(IsHuge ? "2M" : "4K")}_{(Preempt ? "preempt" : "main")}_{(Busy ? "busy" : "idle")}";
}
