using DataPlane.Multifd;
using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>
/// Reads every channel to its end and closes it after the migration has succeeded. An unread byte would turn the close into a reset, which
/// may destroy the SHUT just sent.
/// </summary>
/// <param name="channels">The channels.</param>
/// <param name="multifd">Reads the multifd channels.</param>
/// <param name="limit">How long the source may take to close its ends.</param>
/// <param name="time">The clock.</param>
internal sealed class ChannelClosing(DestinationChannels channels, MultifdReceiver multifd, TimeSpan limit, TimeProvider time)
{
    /// <summary>How long the source may take to hear SHUT, or to close main after its time is over.</summary>
    public static readonly TimeSpan ShutTimeout = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How long a source that has sent everything may take to close after SHUT 1. Without its end nobody knows here that it has its guest.
    /// </summary>
    public static readonly TimeSpan GivenBackTimeout = TimeSpan.FromSeconds(10);

    /// <returns>Whether the source still held main open when the limit had passed.</returns>
    public async Task<bool> RunAsync(Channel main)
    {
        var preempt = channels.OfKind(ChannelKind.Preempt)
            .Select(one => one.Channel.CloseAsync(limit, CancellationToken.None).AsTask());
        var ending = OutlastsLimitAsync(main);
        await Task.WhenAll([multifd.FinishAsync(limit, CancellationToken.None), ending, .. preempt]).ConfigureAwait(false);
        return await ending.ConfigureAwait(false);
    }

    private async Task<bool> OutlastsLimitAsync(Channel main)
    {
        using var over = new CancellationTokenSource(limit, time);
        var ended = await main.CloseAsync(limit + ShutTimeout, over.Token).ConfigureAwait(false);
        return !ended && over.IsCancellationRequested;
    }
}
