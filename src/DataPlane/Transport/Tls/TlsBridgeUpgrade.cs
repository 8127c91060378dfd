using System.Collections.Concurrent;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Ends TLS for code that needs a plain socket, such as the guard's relay: each session has a <see cref="TlsBridge"/>. Thread-safe.
/// </summary>
/// <remarks>
/// Where the system has no OpenSSL 3, handshakes and sessions are the runtime's, with TLS 1.2 alone: <see cref="SslStream"/> sends session
/// tickets with TLS 1.3, and cannot be told not to. A QEMU source without a return path never reads them, so its last close becomes a
/// reset, which destroys the end of the stream (specification, 1-channels section 1.6).
/// </remarks>
internal sealed class TlsBridgeUpgrade : IChannelUpgrade, IAsyncDisposable
{
    private readonly TimeProvider _time;
    private readonly OpenSslUpgrade? _sessions;
    private readonly SslServerAuthenticationOptions? _options;
    private readonly ConcurrentDictionary<TlsBridge, byte> _bridges = new();

    /// <exception cref="TlsCredentialsException">The TLS library of this system cannot do what the credentials ask for.</exception>
    public TlsBridgeUpgrade(TlsCredentials credentials, TimeProvider time)
    {
        _time = time;
        if (OpenSsl.IsAvailable)
        {
            _sessions = new OpenSslUpgrade(credentials);
        }
        else
        {
            _options = credentials.ServerOptions(SslProtocols.Tls12);
        }
    }

    /// <summary>The number of sessions that are not over.</summary>
    public int Count => _bridges.Count;

    public async Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken)
    {
        if (_sessions is null)
        {
            return await Task.Run(() => UpgradeByRuntimeAsync(socket, consumed, cancellationToken), CancellationToken.None)
                .ConfigureAwait(false);
        }

        var secured = await _sessions.UpgradeAsync(socket, peer, consumed, cancellationToken).ConfigureAwait(false);
        try
        {
            var outer = new Socket(secured.Socket);
            return Bridge(new TlsStream(outer, secured.Session!), outer);
        }
        catch
        {
            secured.Dispose();
            throw;
        }
    }

    /// <summary>Waits until the sessions that are under way have ended, for <paramref name="limit"/> at most.</summary>
    public async Task DrainAsync(TimeSpan limit)
    {
        var all = Task.WhenAll(_bridges.Keys.Select(b => b.Completion));
        await Task.WhenAny(all, Task.Delay(limit, _time)).ConfigureAwait(false);
    }

    /// <summary>
    /// Does nothing: the sessions that are under way end when their two ends do, so that the peer still gets what was sent last.
    /// </summary>
    public void Dispose()
    {
    }

    /// <summary>Breaks off the sessions that are left.</summary>
    public async ValueTask DisposeAsync()
    {
        _sessions?.Dispose();
        foreach (var bridge in _bridges.Keys)
        {
            await bridge.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<UpgradedConnection> UpgradeByRuntimeAsync(
        SafeSocketHandle socket, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken)
    {
        var outer = new Socket(socket);
        var raw = new PrefixedStream(new NetworkStream(outer, ownsSocket: true), consumed);
        var tls = new SslStream(raw);
        try
        {
            await tls.AuthenticateAsServerAsync(_options!, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            raw.ReadAhead();
            return Bridge(tls, outer);
        }
        catch
        {
            await tls.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private UpgradedConnection Bridge(Stream tls, Socket outer)
    {
        var bridge = TlsBridge.Begin(tls, outer, sendsCloseNotify: false, _time, out var inner);
        _bridges.TryAdd(bridge, 0);
        _ = ForgetAsync(bridge);
        return new UpgradedConnection(inner);
    }

    private async Task ForgetAsync(TlsBridge bridge)
    {
        await bridge.Completion.ConfigureAwait(false);
        _bridges.TryRemove(bridge, out _);
    }
}
