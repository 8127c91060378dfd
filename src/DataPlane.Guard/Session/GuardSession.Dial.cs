using DataPlane.Guard.Qmp;
using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>Connects to the QEMU behind the guard.</summary>
internal sealed partial class GuardSession
{
    /// <summary>
    /// The send buffer in bytes of a multifd channel's Unix socket to QEMU. With the kernel's 208 KiB, QEMU and the guard wake each other
    /// for every few pages: 2.9 GB/s instead of 3.6 with 4 channels, and twice the CPU time in QEMU. A larger buffer brought no more. Main
    /// keeps the small one: in a postcopy without a preempt channel, the page that the guest waits for comes after all that is in that
    /// buffer.
    /// </summary>
    private const int BulkSendBuffer = 1 << 20;

    private readonly BlockPool _blocks = new();

    private async Task<Channel> DialAsync(ChannelId channel, CancellationToken cancellationToken, bool bulk = false)
    {
        ChannelOptions options = new()
        {
            NoDelay = true,
            ConnectTimeout = _options.MonitorTimeout,
            // The kernel enlarges the buffer of a TCP socket by itself.
            SendBufferBytes = _target.Address.IsUnix && bulk ? BulkSendBuffer : null,
        };
        try
        {
            return await ConnectAsync(channel, options, cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelException) when (State == GuardState.Recovering && channel == ChannelId.Main && _monitor is not null)
        {
            // Somebody has had QEMU listen elsewhere meanwhile. The command works out of band, and may be repeated.
            GuardLog.ListensAgain(_logger, _options.Name, _target.Address.ToString());
            await ListenAgainAsync(_monitor, cancellationToken).ConfigureAwait(false);
            return await ConnectAsync(channel, options, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Connects to QEMU. A Unix socket that QEMU has made is reached by its descriptor: QEMU could replace its name by a link.
    /// </summary>
    private async Task<Channel> ConnectAsync(ChannelId channel, ChannelOptions options, CancellationToken cancellationToken)
    {
        try
        {
            using var pinned = _target.Place?.Pin();
            return await ChannelDialer.ConnectAsync(
                pinned?.Address ?? _target.Address, options, channel, 0, _blocks, cancellationToken, _time).ConfigureAwait(false);
        }
        catch (LinuxException e)
        {
            throw new ChannelException(channel.ToString(), ChannelEnd.Failed, e.Errno, $"cannot connect to {_target.Address}");
        }
        catch (ChannelException e) when (_target.Place is not null)
        {
            throw new ChannelException(channel.ToString(), e.End, e.Errno, $"cannot connect to {_target.Address}");
        }
    }

    private async Task ListenAgainAsync(QemuMonitor monitor, CancellationToken cancellationToken)
    {
        try
        {
            await monitor.RecoverAsync(_target.Address, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is QmpException or TimeoutException)
        {
            throw new ChannelException(FailureReason.ConnectFailed, ChannelId.Main, $"QEMU does not listen any more: {e.Message}", e);
        }
    }
}
