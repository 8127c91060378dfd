using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>How a source opens and closes its channels.</summary>
internal sealed partial class SourceSession
{
    private long _listensSince;

    /// <summary>
    /// How long the first answer may take before progress mentions that it is missing. A destination that reads answers the first PING at
    /// once; this is much more than a slow link needs.
    /// </summary>
    private static readonly TimeSpan s_patienceForFirstAnswer = TimeSpan.FromSeconds(3);

    /// <summary>The address that main connected to: all channels go there, also those of a recovery.</summary>
    private readonly HostRoute _route = new();

    private string? WaitingFor => _clock.Phase switch
    {
        MigrationPhase.Connecting when _main is null => $"a connection to {_destination}",
        MigrationPhase.Connecting =>
            AwaitedChannels.DescribeMultifd(_options.MultifdChannels - _multifd.Now.Count, _options.MultifdChannels),
        MigrationPhase.Commit => "the destination's answer",
        MigrationPhase.Setup or MigrationPhase.Precopy or MigrationPhase.Switchover or MigrationPhase.DeviceState
            when _returnPath is not null && Volatile.Read(ref _pongs) == 0
                && _time.GetElapsedTime(_listensSince) > s_patienceForFirstAnswer =>
            $"the destination to begin reading: it may expect more multifd channels than {_options.MultifdChannels}",
        _ => null,
    };

    /// <summary>
    /// Connects main first and sends its header, for which destinations from 8.0 on wait, then connects all multifd channels at once, each
    /// with its init packet. Every destination understands this order (1-channels section 1.7).
    /// </summary>
    private async Task ConnectAsync(ChannelAddress destination)
    {
        _clock.Restart();
        _destination = destination;
        using (_work.Begin()) // the dialler has its own time limit and error messages
        {
            _main = await DialAsync(destination, ChannelId.Main, 0, _failure.Token).ConfigureAwait(false);
        }

        _writer = new MainStreamWriter(_main.Output, _main.Name);
        await OpenAsync(_writer).ConfigureAwait(false);
        if (_multifdSender is not null)
        {
            await ConnectMultifdAsync(destination).ConfigureAwait(false);
            _zeroRecords = _peer.TakesZeroPagesInPackets ? null : new ZeroPageRecords(_main, _pool);
            _multifdSender.Attach(_multifd.Now, _zeroRecords, _limit);
            _pages = _multifdSender;
        }
        else
        {
            _pages = new MainPageSender(_main, _pool, _limit);
        }
    }

    private async Task OpenAsync(MainStreamWriter writer)
    {
        writer.WriteHeader(new ConfigurationSection
        {
            MachineName = _guest.MachineName,
            Uuid = _guest.ValidatesUuid ? _guest.Uuid : null,
            TargetPageBits = _guest.AnnouncesTargetPageSize ? TargetPage.Shift : null,
        });
        writer.WriteOpenReturnPath();
        writer.WritePing(OpeningPing);
        if (_postcopy is not null)
        {
            PostcopyCommands.WriteAdvise(_main!.Output, _postcopy.HostPages);
        }

        // It listens before anything is sent: if the sending fails, the return path has the destination's reason.
        _listensSince = _time.GetTimestamp();
        _returnPath = ListenAsync();
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.WithMain, _failure.Token).ConfigureAwait(false);
    }

    private async Task ConnectMultifdAsync(ChannelAddress destination)
    {
        await Task.WhenAll(Enumerable.Range(0, _options.MultifdChannels).Select(id => ConnectMultifdAsync(destination, id)))
            .ConfigureAwait(false);
    }

    private async Task ConnectMultifdAsync(ChannelAddress destination, int id)
    {
        var channel = await DialAsync(destination, ChannelId.Multifd(id), id + 1, _failure.Token).ConfigureAwait(false);
        // Destinations from QEMU 10.0 on take an end without close_notify for a broken channel; on main QEMU itself never sends it
        // (1-channels section 1.6).
        channel.EndWithCloseNotify();
        _multifd.Add(id, channel);
        MultifdSender.Introduce(channel, _guest.Uuid, (byte)id, _pool);
    }

    private Task<Channel> DialAsync(ChannelAddress destination, ChannelId id, int index, CancellationToken cancellationToken)
    {
        var tls = _options.Tls is null ? null
            : new TlsDial(_options.Tls, TlsDial.HostOf(destination, _options.TlsHostName), _options.TlsHandshakeTimeout);
        return ChannelDialer.ConnectAsync(destination, _options.Sockets, id, index, _pool, cancellationToken, tls: tls, route: _route);
    }

    private void AbortChannels()
    {
        _multifd.Abort();
        _postcopy?.Preempt?.Abort();
        _main?.Abort();
    }

    /// <summary>Closes the channels as a source does after the destination's SHUT: main last.</summary>
    private async Task CloseAsync()
    {
        if (_multifdSender is not null)
        {
            await _multifdSender.StopAsync().ConfigureAwait(false);
        }

        if (_postcopy?.Preempt is { } preempt)
        {
            // Nothing comes back on preempt, and a destination that has received nothing on it may not have looked at it yet, so nothing is
            // waited for.
            await preempt.DisposeAsync().ConfigureAwait(false);
        }

        await Task.WhenAll(_multifd.Now.Select(static channel => channel.CloseAsync(s_closeTimeout, CancellationToken.None).AsTask()))
            .ConfigureAwait(false);
        await _main!.CloseAsync(s_closeTimeout, CancellationToken.None).ConfigureAwait(false);
    }
}
