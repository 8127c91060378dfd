using DataPlane.Linux;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// The TLS handshakes of undecided connections, where TLS ends here. They run on other threads; their results are taken by the admission
/// thread, which alone uses the members.
/// </summary>
internal sealed class Handshakes(AdmissionOptions options, AdmissionFacts facts, EventFd wake, ILogger logger)
{
    private readonly HandshakeCrowd _underWay = new();
    private readonly Lock _gate = new(); // guards the two below: handshakes end on other threads
    private readonly Queue<HandshakeEnd> _ended = [];
    private bool _isClosed;

    /// <summary>
    /// Counts a connection among those whose handshakes are under way. A handshake costs memory and work that a silent connection does not
    /// cost, so the number is limited: returns the connection that must go, which may be this one, or null.
    /// </summary>
    public UndecidedConnection? Add(UndecidedConnection connection)
    {
        connection.Upgrading = new CancellationTokenSource();
        _underWay.Add(connection);
        return _underWay.VictimBeyond(options.HandshakesAtOnce, options.MultifdChannels + 2, facts);
    }

    /// <summary>Starts the handshake of a connection that was added.</summary>
    public void Start(UndecidedConnection connection, IChannelUpgrade upgrade) =>
        _ = RunAsync(connection, upgrade, connection.Upgrading!.Token);

    /// <summary>Cancels the handshake of a connection that is refused, if one is under way.</summary>
    public void Cancel(UndecidedConnection connection)
    {
        _underWay.Remove(connection);
        connection.Upgrading?.Cancel();
    }

    /// <summary>Forgets a handshake that is done.</summary>
    public void Complete(UndecidedConnection connection)
    {
        _underWay.Remove(connection);
        connection.Upgrading?.Dispose();
    }

    /// <summary>
    /// Takes the next handshake that has ended. Its connection may have been refused meanwhile; whoever takes the result owns it.
    /// </summary>
    public bool TryTake(out HandshakeEnd end)
    {
        lock (_gate)
        {
            return _ended.TryDequeue(out end);
        }
    }

    /// <summary>Closes what finished handshakes have left; results that come later are closed at once.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
            while (_ended.TryDequeue(out var end))
            {
                end.Result?.Dispose();
            }
        }
    }

    private async Task RunAsync(UndecidedConnection connection, IChannelUpgrade upgrade, CancellationToken cancellationToken)
    {
        UpgradedConnection? result = null;
        string? error = null;
        try
        {
            result = await upgrade.UpgradeAsync(connection.Socket, connection.Peer, connection.Consumed, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (Exception e)
        {
            error = e.InnerException?.Message ?? e.Message;
            AdmissionLog.UpgradeFailed(logger, connection.Peer, error);
        }

        lock (_gate)
        {
            if (_isClosed)
            {
                result?.Dispose();
            }
            else
            {
                _ended.Enqueue(new HandshakeEnd(connection, result, error));
            }
        }

        wake.Signal();
    }
}

/// <summary>A handshake that has ended.</summary>
/// <param name="Connection">The connection as it was before the handshake.</param>
/// <param name="Result">The connection inside TLS; null when the handshake has failed.</param>
/// <param name="Error">Why it has failed; null when it has not.</param>
internal readonly record struct HandshakeEnd(UndecidedConnection Connection, UpgradedConnection? Result, string? Error);
