using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Admission;

/// <content>Connections whose TLS ends here, between their ClientHello and their first byte inside TLS.</content>
internal sealed partial class AdmissionLoop
{
    private readonly Lock _upgradeGate = new();
    private readonly Queue<(UndecidedConnection Connection, UpgradedConnection? Result, string? Error)> _upgraded = [];
    private readonly HandshakeCrowd _inHandshake = new();
    private bool _takesUpgrades = true;

    /// <summary>
    /// Starts the TLS handshake of a connection. The connection stays undecided, with a deadline of its own, and can be refused like any
    /// other. A handshake costs memory and work that a silent connection does not cost, so the number of handshakes under way is limited.
    /// </summary>
    private void BeginUpgrade(UndecidedConnection connection, IChannelUpgrade upgrade)
    {
        Unpoll(connection);
        connection.IsHeld = true;
        connection.Upgrading = new CancellationTokenSource();
        var upgrading = connection.Upgrading.Token;
        _undecided.Defer(connection, _clock.After(_options.HandshakeTimeout));
        _inHandshake.Add(connection);
        if (_inHandshake.VictimBeyond(_options.HandshakesAtOnce, _options.MultifdChannels + 2, _facts) is { } victim)
        {
            Refuse(victim, RefusalReason.Evicted, $"more than {_options.HandshakesAtOnce} TLS handshakes were under way");
        }

        if (!upgrading.IsCancellationRequested) // else it was the victim itself, and is closed
        {
            _ = UpgradeAsync(connection, upgrade, upgrading);
        }
    }

    private async Task UpgradeAsync(UndecidedConnection connection, IChannelUpgrade upgrade, CancellationToken cancellationToken)
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
            AdmissionLog.UpgradeFailed(_logger, connection.Peer, error);
        }

        lock (_upgradeGate)
        {
            if (_takesUpgrades)
            {
                _upgraded.Enqueue((connection, result, error));
            }
            else
            {
                result?.Dispose();
            }
        }

        _wake.Signal();
    }

    private void TakeUpgrades()
    {
        while (true)
        {
            UndecidedConnection connection;
            UpgradedConnection? result;
            string? error;
            lock (_upgradeGate)
            {
                if (!_upgraded.TryDequeue(out var next))
                {
                    return;
                }

                (connection, result, error) = next;
            }

            if (!_undecided.Contains(connection))
            {
                result?.Dispose(); // refused meanwhile
            }
            else if (result is null)
            {
                Refuse(connection, RefusalReason.TlsHandshake, error);
            }
            else
            {
                GoInside(connection, result);
            }
        }
    }

    /// <summary>
    /// Replaces a connection whose handshake is done by the one inside TLS, which is as silent and undecided as a new one.
    /// </summary>
    private void GoInside(UndecidedConnection connection, UpgradedConnection upgraded)
    {
        _undecided.Remove(connection);
        _inHandshake.Remove(connection);
        connection.Upgrading?.Dispose();
        var inside = new UndecidedConnection(
            _nextKey++, new AcceptedSocket(upgraded.Socket, connection.Address), _clock.Now)
        {
            IsInside = true,
            Session = upgraded.Session,
        };
        _undecided.Add(inside, _clock.After(_options.UndecidedTimeout));
        Begin(inside);
    }

    /// <summary>Closes what finished handshakes have left; results that come later are closed at once.</summary>
    private void EndUpgrades()
    {
        lock (_upgradeGate)
        {
            _takesUpgrades = false;
            while (_upgraded.TryDequeue(out var next))
            {
                next.Result?.Dispose();
            }
        }
    }
}
