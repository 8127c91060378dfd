using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Migration.Source;

/// <summary>
/// Connects the channels of a source, each into the set that is aborted as a whole: a channel that is connected after the abort is aborted,
/// too.
/// </summary>
internal sealed class LinkDialer(MigrationSourceOptions options, SourceLinks links, BlockPool pool)
{
    /// <summary>The address that main connected to: all channels go there, also those of a recovery.</summary>
    private readonly HostRoute _route = new();

    public async Task<Channel> DialMainAsync(ChannelAddress address, CancellationToken cancellationToken)
    {
        var set = links.Link;
        var main = await DialAsync(address, ChannelId.Main, 0, cancellationToken).ConfigureAwait(false);
        set.Add(MigrationLink.MainNumber, main);
        return main;
    }

    public async Task<Channel> DialPreemptAsync(ChannelAddress address, CancellationToken cancellationToken)
    {
        var set = links.Link;
        var preempt = await DialAsync(address, ChannelId.Preempt, options.MultifdChannels + 1, cancellationToken).ConfigureAwait(false);
        set.Add(MigrationLink.PreemptNumber, preempt);
        return preempt;
    }

    public async Task<Channel> DialMultifdAsync(ChannelAddress address, int number, CancellationToken cancellationToken)
    {
        var channel = await DialAsync(address, ChannelId.Multifd(number), number + 1, cancellationToken).ConfigureAwait(false);
        // Destinations from QEMU 10.0 on take an end without close_notify for a broken channel; on main QEMU itself never sends it
        // (1-channels section 1.6).
        channel.EndWithCloseNotify();
        links.Multifd.Add(number, channel);
        return channel;
    }

    private Task<Channel> DialAsync(ChannelAddress address, ChannelId id, int index, CancellationToken cancellationToken)
    {
        var tls = options.Tls is null ? null
            : new TlsDial(options.Tls, TlsDial.HostOf(address, options.TlsHostName), options.TlsHandshakeTimeout);
        return ChannelDialer.ConnectAsync(address, options.Sockets, id, index, pool, cancellationToken, tls: tls, route: _route);
    }
}
