using System.Collections.Concurrent;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Ends TLS for admission: handshakes by <see cref="SslStream"/>, each with a <see cref="TlsBridge"/> behind it. Thread-safe.
/// </summary>
/// <remarks>
/// TLS 1.2 alone: <see cref="SslStream"/> sends session tickets with TLS 1.3 and cannot be told not to. A QEMU source without a return path
/// never reads them, its last close becomes a reset, and that destroys the end of the stream (specification, 1-channels section 1.6).
/// </remarks>
internal sealed class TlsServerUpgrade(TlsCredentials credentials, TimeProvider time) : IChannelUpgrade, IAsyncDisposable
{
    private readonly SslServerAuthenticationOptions _options = credentials.ServerOptions(SslProtocols.Tls12);
    private readonly ConcurrentDictionary<TlsBridge, byte> _bridges = new();

    /// <summary>Sessions that are not over.</summary>
    internal int Count => _bridges.Count;

    public async Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken)
    {
        var outer = new Socket(socket);
        var raw = new PrefixedStream(new NetworkStream(outer, ownsSocket: true), consumed);
        var tls = new SslStream(raw);
        try
        {
            await tls.AuthenticateAsServerAsync(_options, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            raw.ReadAhead();
            TlsBridge bridge = TlsBridge.Begin(tls, outer, saysGoodbye: false, time, out SafeSocketHandle inner);
            _bridges.TryAdd(bridge, 0);
            _ = ForgetAsync(bridge);
            return new UpgradedConnection(inner);
        }
        catch
        {
            await tls.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Waits for the sessions that are under way, for so long at most.</summary>
    internal async Task DrainAsync(TimeSpan limit)
    {
        Task all = Task.WhenAll(_bridges.Keys.Select(b => b.Completion));
        await Task.WhenAny(all, Task.Delay(limit, time)).ConfigureAwait(false);
    }

    /// <summary>
    /// Lets go: the sessions that are under way end when their two ends do, which still brings what was said last to the peer.
    /// </summary>
    public void Dispose()
    {
    }

    /// <summary>Breaks off what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (TlsBridge bridge in _bridges.Keys)
            await bridge.DisposeAsync().ConfigureAwait(false);
    }

    private async Task ForgetAsync(TlsBridge bridge)
    {
        await bridge.Completion.ConfigureAwait(false);
        _bridges.TryRemove(bridge, out _);
    }
}
