namespace DataPlane.Postcopy;

/// <summary>What was sent in postcopy, counted in target pages, and how often the destination asked for pages.</summary>
/// <param name="Normal">The pages that were sent with their bytes.</param>
/// <param name="Zero">The pages that were sent as zero pages.</param>
/// <param name="Requests">The requests for pages, repetitions included.</param>
/// <param name="Requested">The pages that were sent because they had been requested.</param>
internal sealed record SenderTotals(long Normal, long Zero, long Requests, long Requested)
{
    public static SenderTotals None { get; } = new(0, 0, 0, 0);

    public static SenderTotals operator +(SenderTotals left, SenderTotals right) => new(
        left.Normal + right.Normal, left.Zero + right.Zero, left.Requests + right.Requests, left.Requested + right.Requested);
}
