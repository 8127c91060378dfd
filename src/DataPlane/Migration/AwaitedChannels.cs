namespace DataPlane.Migration;

/// <summary>Describes, for people, the channels that a migration still waits for.</summary>
internal static class AwaitedChannels
{
    /// <summary>
    /// Describes what a destination still waits for; null when main and all multifd channels are there. It never waits for preempt.
    /// </summary>
    public static string? Describe(IReadOnlyCollection<AdmittedChannel> admitted, int multifdChannels)
    {
        var multifd = admitted.Count(static one => one.Kind == ChannelKind.Multifd);
        return admitted.Any(static one => one.Kind == ChannelKind.Main) ? DescribeMultifd(multifdChannels - multifd, multifdChannels)
            : multifd == 0 ? "the source"
            : "the main channel";
    }

    /// <summary>
    /// Describes the <paramref name="missing"/> multifd channels out of <paramref name="all"/>, at either end; null when none is missing.
    /// </summary>
    public static string? DescribeMultifd(int missing, int all) =>
        missing <= 0 ? null : all == 1 ? "the multifd channel" : $"{missing} of {all} multifd channels";
}
