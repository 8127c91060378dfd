using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// Connects to whichever of several end points answers first (RFC 8305 section 5). The next attempt starts when the one before has failed
/// or has not answered for <see cref="AttemptDelay"/>; the first connection wins, and the other attempts are closed.
/// </summary>
/// <remarks>
/// An attempt that is closed before its answer has come leaves nothing at the peer, whose kernel takes the handshake back. Only when two
/// answers come at the same instant does the peer see a connection that ends without a byte.
/// </remarks>
internal sealed class ConnectRace : IAsyncDisposable
{
    /// <summary>The delay that RFC 8305 recommends.</summary>
    public static readonly TimeSpan AttemptDelay = TimeSpan.FromMilliseconds(250);

    private readonly IReadOnlyList<EndPoint> _remotes;
    private readonly Func<EndPoint, ConnectAttempt> _start;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _over;
    private readonly List<(EndPoint Remote, ConnectAttempt Attempt, Task Waiting)> _running = [];
    private readonly List<ConnectFailure> _failures = [];
    private int _next;

    /// <param name="remotes">The end points, in the order of the attempts.</param>
    /// <param name="start">Starts one attempt; a <see cref="LinuxException"/> counts as the failure of that end point alone.</param>
    /// <param name="time">Clock of the delay.</param>
    /// <param name="cancellationToken">Ends all attempts.</param>
    public ConnectRace(
        IReadOnlyList<EndPoint> remotes, Func<EndPoint, ConnectAttempt> start, TimeProvider time, CancellationToken cancellationToken)
    {
        (_remotes, _start, _time) = (remotes, start, time);
        _over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    }

    /// <summary>The end points that have failed so far, and those that have not answered yet.</summary>
    public IReadOnlyList<ConnectFailure> Failures =>
        [.. _failures, .. _running.Select(static one => new ConnectFailure(one.Remote, Errno.ETIMEDOUT, "no answer"))];

    /// <summary>Runs until one attempt has connected; returns null when all have failed.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled before an attempt had connected.</exception>
    public async Task<(EndPoint Remote, SafeSocketHandle Socket)?> RunAsync()
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var end = _over.Token.Register(
            static state => ((TaskCompletionSource)state!).SetResult(), cancelled);
        (var failed, var isDue) = (0, false);
        while (true)
        {
            if (TakeDecided() is { } winner)
            {
                return winner;
            }

            if (_running.Count == 0 && _next == _remotes.Count)
            {
                return null;
            }

            _over.Token.ThrowIfCancellationRequested();
            // A failed attempt lets the next one start at once.
            if (_next < _remotes.Count && (_running.Count == 0 || _failures.Count > failed || isDue))
            {
                (failed, isDue) = (_failures.Count, false);
                StartNext();
                continue;
            }

            using var patience = CancellationTokenSource.CreateLinkedTokenSource(_over.Token);
            var due = _next < _remotes.Count ? Task.Delay(AttemptDelay, _time, patience.Token) : cancelled.Task;
            var first = await Task.WhenAny([.. _running.Select(static one => one.Waiting), due, cancelled.Task]).ConfigureAwait(false);
            isDue = first == due;
            await patience.CancelAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Ends the attempts that are left; their sockets are closed when the task has completed.</summary>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync().ConfigureAwait(false);
        foreach (var (_, attempt, waiting) in _running)
        {
            await waiting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            attempt.Dispose();
        }

        _over.Dispose();
    }

    private void StartNext()
    {
        var remote = _remotes[_next++];
        ConnectAttempt attempt;
        try
        {
            attempt = _start(remote);
        }
        catch (LinuxException refused)
        {
            _failures.Add(new ConnectFailure(remote, refused.Errno, refused.Message));
            return;
        }

        try
        {
            var over = _over.Token;
            var waiting = attempt.IsDecided ? Task.CompletedTask : OwnThread.RunAsync("dp-connect", () => attempt.Wait(over));
            _running.Add((remote, attempt, waiting));
        }
        catch
        {
            attempt.Dispose(); // no thread could be started for it
            throw;
        }
    }

    /// <summary>
    /// Removes the decided attempts up to the first that has connected: keeps the failures, and returns its socket, or null when none has
    /// connected.
    /// </summary>
    private (EndPoint, SafeSocketHandle)? TakeDecided()
    {
        for (var i = 0; i < _running.Count;)
        {
            var (remote, attempt, waiting) = _running[i];
            if (!waiting.IsCompleted || (!attempt.IsDecided && !waiting.IsFaulted))
            {
                i++;
                continue;
            }

            _running.RemoveAt(i);
            using (attempt)
            {
                if (waiting.IsFaulted)
                {
                    // No descriptor was left to wait with, for example: the attempt counts as refused by the system.
                    var fault = waiting.Exception.InnerException!;
                    _failures.Add(new ConnectFailure(remote, (fault as LinuxException)?.Errno ?? 0, fault.Message));
                    continue;
                }

                if (attempt.Errno == 0)
                {
                    return (remote, attempt.Take());
                }

                _failures.Add(new ConnectFailure(remote, attempt.Errno, Errno.Describe(attempt.Errno)));
            }
        }

        return null;
    }
}

/// <summary>Why one end point could not be reached.</summary>
/// <param name="Remote">The end point.</param>
/// <param name="Errno">The system's error number.</param>
/// <param name="Reason">The reason in words.</param>
internal readonly record struct ConnectFailure(EndPoint Remote, int Errno, string Reason);
