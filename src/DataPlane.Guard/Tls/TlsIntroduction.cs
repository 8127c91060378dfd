using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Guard.Tls;

/// <summary>
/// Takes one TLS session through its handshake with QEMU, which does nothing else meanwhile: its main loop waits inside for the client. So
/// the bytes pass through here, and the client is cut when it takes too long. What it sends after its handshake may begin to pass as well.
/// </summary>
/// <remarks>
/// The handshake is over when QEMU's monitor answers a question that was asked after the client had begun to encrypt. Without a monitor it
/// counts as over when it looks so.
/// </remarks>
internal sealed class TlsIntroduction : IDisposable
{
    private readonly SafeSocketHandle _client;
    private readonly SafeSocketHandle _qemu;
    private readonly Func<CancellationToken, Task<bool>>? _isTurning;
    private readonly TlsHandshakeWatch _watch = new();
    private readonly IntroductionFlow _forward;
    private readonly IntroductionFlow _backward;
    private readonly EventFd _wake = new();
    private readonly CancellationTokenSource _limit;
    private readonly CancellationTokenSource _end;
    private readonly CancellationTokenRegistration _onEnd;
    private bool _hasAsked;
    private volatile bool _isPast;

    /// <param name="client">The session's client, whose ClientHello has been read.</param>
    /// <param name="qemu">A connection to QEMU that has been handed the ClientHello.</param>
    /// <param name="isTurning">Asks QEMU's monitor for any answer; null without a monitor.</param>
    /// <param name="limit">The time limit of the whole handshake.</param>
    /// <param name="time">The clock of the limit.</param>
    /// <param name="cancellationToken">Cuts the handshake.</param>
    internal TlsIntroduction(
        SafeSocketHandle client,
        SafeSocketHandle qemu,
        Func<CancellationToken, Task<bool>>? isTurning,
        TimeSpan limit,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        _client = client;
        _qemu = qemu;
        _isTurning = isTurning;
        _forward = new IntroductionFlow(client, qemu, _watch.TakeClient);
        _backward = new IntroductionFlow(qemu, client, _watch.TakeServer);
        _limit = new CancellationTokenSource(limit, time);
        _end = CancellationTokenSource.CreateLinkedTokenSource(_limit.Token, cancellationToken);
        _onEnd = _end.Token.Register(_wake.Signal);
    }

    /// <summary>The number of the client's bytes that QEMU's socket has taken, without the ClientHello.</summary>
    internal long ClientBytes => _forward.Bytes;

    /// <summary>The bytes of the client that were read and that QEMU has not taken.</summary>
    internal ReadOnlyMemory<byte> Leftover => _forward.Pending;

    /// <summary>Runs the handshake, and blocks its thread until that is over in whatever way. The sockets do not block.</summary>
    internal IntroductionResult Run()
    {
        try
        {
            while (true)
            {
                // This is read before the sockets are: whatever QEMU sent when it finished the handshake has arrived by then.
                var isPast = _isPast;
                var moved = _backward.Pump() | _forward.Pump();
                if (_backward.HasEnded || _forward.IsStuck)
                {
                    return IntroductionResult.Refused;
                }

                if (_watch.IsBroken || _end.IsCancellationRequested)
                {
                    return IntroductionResult.Cut;
                }

                if (_backward.IsStuck || (_forward.HasEnded && !_watch.MayBeOver))
                {
                    return IntroductionResult.Left;
                }

                if (isPast && !moved && _backward.Pending.IsEmpty)
                {
                    return IntroductionResult.LetIn;
                }

                Ask();
                if (!moved && _isPast == isPast)
                {
                    Wait();
                }
            }
        }
        catch (ObjectDisposedException)
        {
            return IntroductionResult.Left; // the channels were closed meanwhile
        }
    }

    public void Dispose()
    {
        _onEnd.Dispose();
        _end.Cancel(); // a question to the monitor may be open
        _end.Dispose();
        _limit.Dispose();
        _wake.Dispose();
    }

    private void Ask()
    {
        if (_hasAsked || !(_isTurning is null ? _watch.LooksOver && _forward.Pending.IsEmpty : _watch.MayBeOver))
        {
            return;
        }

        _hasAsked = true;
        if (_isTurning is null)
        {
            _isPast = true;
        }
        else
        {
            _ = AskAsync(_isTurning, _end.Token);
        }
    }

    private async Task AskAsync(Func<CancellationToken, Task<bool>> isTurning, CancellationToken cancellationToken)
    {
        _isPast = await isTurning(cancellationToken).ConfigureAwait(false);
        _wake.Signal();
    }

    private unsafe void Wait()
    {
        var clientHeld = false;
        var qemuHeld = false;
        try
        {
            _client.DangerousAddRef(ref clientHeld);
            _qemu.DangerousAddRef(ref qemuHeld);
            var descriptors = stackalloc PollFd[3];
            // SAFETY: three entries are there, and both sockets are held open for the call. The kernel passes over negative descriptors: an
            // end that was seen would be reported again and again.
            descriptors[0] = new PollFd(_forward.HasEnded ? -1 : (int)_client.DangerousGetHandle(), Interest(_forward, _backward));
            descriptors[1] = new PollFd((int)_qemu.DangerousGetHandle(), Interest(_backward, _forward));
            descriptors[2] = new PollFd(_wake.Descriptor, PollCalls.PollIn);
            _ = PollCalls.Poll(descriptors, 3, -1);
            _wake.Reset();
        }
        finally
        {
            if (clientHeld)
            {
                _client.DangerousRelease();
            }

            if (qemuHeld)
            {
                _qemu.DangerousRelease();
            }
        }
    }

    private static short Interest(IntroductionFlow from, IntroductionFlow to) =>
        (short)((from.Pending.IsEmpty ? PollCalls.PollIn : 0) | (to.Pending.IsEmpty ? 0 : PollCalls.PollOut));
}

/// <summary>The result of a session's handshake with QEMU.</summary>
internal enum IntroductionResult
{
    /// <summary>QEMU has finished the handshake and kept the connection.</summary>
    LetIn,

    /// <summary>QEMU has ended the connection: the client has no certificate, or a wrong one, or does not send TLS.</summary>
    Refused,

    /// <summary>The handshake did not end in time, or bytes passed that are not TLS.</summary>
    Cut,

    /// <summary>The client has closed the connection.</summary>
    Left,

    /// <summary>
    /// Nothing was found out about the client: the guard had no descriptor, memory or thread for the session or came to its end, or QEMU
    /// could not be reached.
    /// </summary>
    NotServed,
}
