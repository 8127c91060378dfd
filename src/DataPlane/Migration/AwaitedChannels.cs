using DataPlane.Admission;

namespace DataPlane.Migration;

/// <summary>The channels that a migration still waits for, in words.</summary>
internal static class AwaitedChannels
{
    /// <summary>At a destination; null when all are there without which no page comes.</summary>
    internal static string? Describe(IReadOnlyCollection<AdmittedChannel> admitted, int multifdChannels)
    {
        var multifd = admitted.Count(static one => one.Kind == ChannelKind.Multifd);
        return admitted.Any(static one => one.Kind == ChannelKind.Main) ? DescribeMultifd(multifdChannels - multifd, multifdChannels)
            : multifd == 0 ? "the source"
            : "the main channel";
    }

    /// <summary>Of the multifd channels alone, at either end.</summary>
    internal static string? DescribeMultifd(int missing, int all) =>
        missing <= 0 ? null : all == 1 ? "the multifd channel" : $"{missing} of {all} multifd channels";
}
