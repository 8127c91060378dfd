using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Migration;

/// <summary>
/// What the destination sends on the return path, and what its silence may mean.
/// <code>
///   PONG 1    it reads: main and, at a QEMU, all multifd channels that it expects are there
///   PONG 2    all of the memory has arrived: only now may the last byte go; before a postcopy of a running guest, all that was sent of it
///   SHUT 0    the guest is there
///   SHUT 1..  it is not, and stays here
/// </code>
/// Without PONG 2, a destination that waits for something that never comes, while the socket buffers hold all of a small guest, would look
/// like one that is just about to run it.
/// </summary>
internal sealed partial class SourceSession
{
    private const uint OpeningPing = 1;
    private const uint MemoryPing = 2;

    /// <summary>How long the destination may still take to give its reason on main after a page channel has broken.</summary>
    private static readonly TimeSpan s_reasonTimeout = TimeSpan.FromSeconds(2);

    /// <summary>
    /// What it may mean if the destination closes main before its first message. QEMU checks our certificate after the handshake and sends
    /// no alert: it just closes, as it does when it reads the name of another machine.
    /// </summary>
    private string IfSilent => _options.Tls switch
    {
        null => "it may expect TLS, or be another machine",
        { Certificate: null } => "it may demand a certificate, and we have none",
        _ => "it may have refused our certificate, or be another machine",
    };

    private readonly TaskCompletionSource _memoryArrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _pongs;
    private int _vmStartedMessages;

    /// <summary>
    /// Reads the destination's messages beside everything else. A SHUT before the end of our stream, or the end of the channel, fails the
    /// migration at once.
    /// </summary>
    private async Task<uint> ListenAsync()
    {
        var main = _main!;
        try
        {
            var shut = await (_postcopy is null
                ? new ReturnPathReader(new StreamCursor(main.OpenReader(cancellable: true), main.Id), OnPong, OnVmStarted, IfSilent)
                    .ReadToShutAsync(_failure.Token)
                : _postcopy.Listen(main, _guest.Memory, IfSilent)).ConfigureAwait(false);
            CallOff(shut == 0
                ? ChannelException.Violation(main.Name, "the destination reported success before the end of the stream")
                : Refused(shut));
            return shut;
        }
        catch (ChannelException failure)
        {
            CallOff(failure);
            throw;
        }
    }

    private void OnPong(uint value)
    {
        Interlocked.Increment(ref _pongs);
        if (value == MemoryPing)
        {
            _memoryArrived.TrySetResult();
        }
    }

    private void OnVmStarted()
    {
        Interlocked.Increment(ref _vmStartedMessages);
        MigrationLog.VmStarted(_logger);
    }

    private ChannelException Refused(uint shut) =>
        new(FailureReason.PeerRefused, _main!.Name, $"the destination reported that it failed (SHUT {shut}); its own log says why");

    private async Task WaitForMemoryAsync()
    {
        try
        {
            await _memoryArrived.Task.WaitAsync(_options.CommitTimeout, _time, _failure.Token).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Stalled(_options.CommitTimeout);
        }
    }

    private void OnStall() => CallOff(Stalled(_options.EffectiveStallTimeout!.Value));

    private ChannelException Stalled(TimeSpan limit)
    {
        var channels = _options.MultifdChannels;
        var guess = _writer is null ? "nobody answers"
            : Volatile.Read(ref _pongs) == 0 ? $"the destination has not begun to read: it may expect more multifd channels than {channels}"
            : channels > 0 ? "the destination reads no further: its machine type may synchronise multifd in another way, or it has stopped"
            : "the destination reads no further: it has stopped, or it is busy for longer";
        return new ChannelException(FailureReason.Stalled, ChannelId.Main,
            $"nothing moved within the time limit of {limit.TotalSeconds:0.###} s; {guess}");
    }

    /// <summary>
    /// Waits for the destination's reason after a channel has broken, and returns the better explanation. If the destination gave up, its
    /// reason comes on main, perhaps a moment later: an answer, or a TLS alert, that lies before the reset in the socket.
    /// </summary>
    private async Task<Exception> WithReasonAsync(Exception failure)
    {
        if (failure is not ChannelException broken || !IsPeerGone(broken) || _returnPath is null || _custody.IsLeaving
            || _failure.Cause is not null)
        {
            return failure;
        }

        await ((Task)_returnPath.WaitAsync(s_reasonTimeout, _time)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return _returnPath.IsCompleted || broken.Channel == _main!.Name || broken.Errno == Errno.ECONNREFUSED
            ? failure
            : new ChannelException(
                broken.Reason, broken.Channel,
                "the destination closed this channel and keeps main open: "
                + $"it may expect fewer multifd channels than {_options.MultifdChannels}",
                broken);
    }

    private static bool IsPeerGone(ChannelException broken) =>
        broken.Reason is FailureReason.PeerClosed or FailureReason.PeerReset
        || broken.InnerException is TlsLostException
        || broken.Errno == Errno.ECONNREFUSED;
}
