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
internal sealed class TlsIntroduction : IAsyncDisposable
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
    private Thread? _thread;
    private Task? _question;
    private volatile bool _isPast;

    /// <param name="client">The session's client, whose ClientHello has been read.</param>
    /// <param name="qemu">A connection to QEMU that has been handed the ClientHello.</param>
    /// <param name="isTurning">Asks QEMU's monitor for any answer; null without a monitor.</param>
    /// <param name="limit">The time limit of the whole handshake.</param>
    /// <param name="time">The clock of the limit.</param>
    /// <param name="cancellationToken">Cuts the handshake.</param>
    public TlsIntroduction(
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
    public long ClientBytes => _forward.Bytes;

    /// <summary>The bytes of the client that were read and that QEMU has not taken.</summary>
    public ReadOnlyMemory<byte> Leftover => _forward.Pending;

    /// <summary>
    /// Runs the handshake on a thread of its own, which completes the task when it is over in whatever way. Call it once.
    /// </summary>
    public Task<IntroductionResult> RunAsync()
    {
        var result = new TaskCompletionSource<IntroductionResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                result.SetResult(Run());
            }
            catch (Exception e)
            {
                result.SetException(e); // the session ends alone
            }
        })
        { Name = "dp-introduction", IsBackground = true };
        thread.Start();
        _thread = thread;
        return result.Task;
    }

    /// <summary>Cuts a handshake that is not over, and waits for the thread and for the question to the monitor.</summary>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        _thread?.Join(); // after RunAsync has completed this does not wait: the thread has run its last statement
        if (_question is not null)
        {
            await _question.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await _onEnd.DisposeAsync().ConfigureAwait(false);
        _end.Dispose();
        _limit.Dispose();
        _wake.Dispose();
    }

    private IntroductionResult Run()
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

    private void Ask()
    {
        if (_isTurning is null)
        {
            _isPast |= _watch.LooksOver && _forward.Pending.IsEmpty;
        }
        else if (_watch.MayBeOver)
        {
            _question ??= AskAsync(_isTurning, _end.Token);
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
