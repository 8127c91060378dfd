using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Entrance;

/// <summary>Connects to the QEMU behind the guard.</summary>
internal sealed class QemuDialer(
    GuardedVmOptions options, QemuTarget target, QemuMonitor? monitor, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>
    /// The send buffer in bytes of a multifd channel's Unix socket to QEMU. With the kernel's 208 KiB, QEMU and the guard wake each other
    /// for every few pages: 2.9 GB/s instead of 3.6 with 4 channels, and twice the CPU time in QEMU. A larger buffer brought no more. Main
    /// keeps the small one: in a postcopy without a preempt channel, the page that the guest waits for comes after all that is in that
    /// buffer.
    /// </summary>
    private const int BulkSendBuffer = 1 << 20;

    private readonly BlockPool _blocks = new();

    /// <summary>Connects to QEMU, and sends the channel's first bytes in one write.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="opening">The first bytes, which may be none.</param>
    /// <param name="isBulk">Whether the channel carries many pages, none of which the guest waits for.</param>
    /// <param name="isRecovery">Whether a QEMU that does not listen is told to.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="ChannelException">QEMU cannot be reached, or does not take the bytes.</exception>
    public async Task<Channel> DialAsync(
        ChannelId channel, ReadOnlyMemory<byte> opening, bool isBulk, bool isRecovery, CancellationToken cancellationToken)
    {
        ChannelOptions sockets = new()
        {
            NoDelay = true,
            ConnectTimeout = options.MonitorTimeout,
            // The kernel enlarges the buffer of a TCP socket by itself.
            SendBufferBytes = target.Address.IsUnix && isBulk ? BulkSendBuffer : null,
        };
        var qemu = await ConnectAsync(channel, sockets, isRecovery, cancellationToken).ConfigureAwait(false);
        if (opening.IsEmpty)
        {
            return qemu;
        }

        var sent = Send(qemu, opening.Span);
        if (sent.Complete)
        {
            return qemu;
        }

        await qemu.DisposeAsync().ConfigureAwait(false);
        throw ChannelException.From(sent, qemu, "handing its first bytes to QEMU");
    }

    /// <summary>Ends the dialer. Its connections stay usable.</summary>
    public void Dispose() => _blocks.Dispose();

    private static unsafe TransferResult Send(Channel qemu, ReadOnlySpan<byte> opening)
    {
        // SAFETY: the bytes are fixed for the call. A fresh socket has room for them all, so it does not block.
        fixed (byte* first = opening)
        {
            Span<IoVec> vectors = [new((nint)first, (nuint)opening.Length)];
            return qemu.Send(vectors);
        }
    }

    private async Task<Channel> ConnectAsync(
        ChannelId channel, ChannelOptions sockets, bool isRecovery, CancellationToken cancellationToken)
    {
        try
        {
            return await ConnectOnceAsync(channel, sockets, cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelException) when (isRecovery && monitor is not null)
        {
            // Somebody has had QEMU listen elsewhere meanwhile. The command works out of band, and may be repeated.
            GuardLog.ListensAgain(logger, options.Name, target.Address.ToString());
            await ListenAgainAsync(monitor, cancellationToken).ConfigureAwait(false);
            return await ConnectOnceAsync(channel, sockets, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Connects to QEMU. A Unix socket that QEMU has made is reached by its descriptor: QEMU could replace its name by a link.
    /// </summary>
    private async Task<Channel> ConnectOnceAsync(ChannelId channel, ChannelOptions sockets, CancellationToken cancellationToken)
    {
        try
        {
            using var pinned = target.Place?.Pin();
            return await ChannelDialer.ConnectAsync(
                pinned?.Address ?? target.Address, sockets, channel, 0, _blocks, cancellationToken, time).ConfigureAwait(false);
        }
        catch (LinuxException e)
        {
            throw new ChannelException(channel.ToString(), ChannelEnd.Failed, e.Errno, $"cannot connect to {target.Address}");
        }
        catch (ChannelException e) when (target.Place is not null)
        {
            throw new ChannelException(channel.ToString(), e.End, e.Errno, $"cannot connect to {target.Address}");
        }
    }

    private async Task ListenAgainAsync(QemuMonitor qemu, CancellationToken cancellationToken)
    {
        try
        {
            await qemu.RecoverAsync(target.Address, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is QmpException or TimeoutException)
        {
            throw new ChannelException(FailureReason.ConnectFailed, ChannelId.Main, $"QEMU does not listen any more: {e.Message}", e);
        }
    }
}
