using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Entrance;

/// <summary>Gives QEMU each channel as a connection of the guard's own, to which the client's bytes are relayed.</summary>
/// <param name="dialer">Connects to QEMU. The entrance disposes of it.</param>
/// <param name="relays">The relays of the migration.</param>
/// <param name="monitor">QEMU's monitor, which tells when a handshake is over; null where there is none.</param>
/// <param name="handshakeTimeout">The longest time for the handshake of a TLS session.</param>
/// <param name="time">The clock of that limit.</param>
internal sealed class RelayedEntrance(
    QemuDialer dialer, RelayEngine relays, QemuMonitor? monitor, TimeSpan handshakeTimeout, TimeProvider time) : IQemuEntrance
{
    public async Task EnterAsync(
        ChannelRelay held, ReadOnlyMemory<byte> opening, RelayWatch? watch, bool isRecovery, CancellationToken cancellationToken)
    {
        var qemu = await dialer.DialAsync(
            held.ChannelId, opening, held.Kind == ChannelKind.Multifd, isRecovery, cancellationToken).ConfigureAwait(false);
        relays.JoinQemu(held, qemu, opening.Length, watch?.Tap, watch?.Tail, watch?.Loss);
    }

    public async Task<ChannelRelay> ReservePreemptAsync(CancellationToken cancellationToken)
    {
        var qemu = await dialer.DialAsync(ChannelId.Preempt, opening: default, isBulk: false, isRecovery: false, cancellationToken)
            .ConfigureAwait(false);
        return relays.Reserve(ChannelKind.Preempt, 0, qemu);
    }

    public async Task<TlsIntroduced> IntroduceAsync(ChannelRelay held, ReadOnlyMemory<byte> hello, CancellationToken cancellationToken)
    {
        var qemu = await dialer.DialAsync(held.ChannelId, hello, isBulk: false, isRecovery: false, cancellationToken)
            .ConfigureAwait(false);
        var isIn = false;
        try
        {
            if (!SocketCalls.TrySetBlocking(qemu.Handle, false))
            {
                LinuxException.ThrowLast("fcntl", qemu.Name);
            }

            var introduction = new TlsIntroduction(held.Client!.Channel.Handle, qemu.Handle,
                monitor is null ? null : monitor.IsTurningAsync, handshakeTimeout, time, cancellationToken);
            await using var ends = introduction.ConfigureAwait(false);
            var result = await introduction.RunAsync().ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested(); // a handshake that the guard's own end has cut says nothing about the client
            isIn = result == IntroductionResult.LetIn;
            return new TlsIntroduced(held, result)
            {
                Qemu = isIn ? qemu : null,
                Bytes = hello.Length + introduction.ClientBytes,
                Next = introduction.Leftover,
            };
        }
        finally
        {
            if (!isIn)
            {
                await qemu.DisposeAsync().ConfigureAwait(false); // a plain end: QEMU drops the session and goes on
            }
        }
    }

    public void Keep(TlsIntroduced session, RelayWatch? watch) => relays.JoinQemu(
        session.Relay, session.Qemu!, session.Bytes, watch?.Tap, watch?.Tail, watch?.Loss, session.Next);

    public void Dispose() => dialer.Dispose();
}
