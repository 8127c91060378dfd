using System.Net;
using System.Net.Sockets;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>Listens, takes nobody, and has its backlog full: the next connect stays pending.</summary>
internal sealed class FullListener : IDisposable
{
    private readonly Socket _listener;
    private readonly List<ConnectAttempt> _waiting = [];

    private FullListener(EndPoint local)
    {
        _listener = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        _listener.Bind(local);
        _listener.Listen(0);
        Address = local is UnixDomainSocketEndPoint ? ChannelAddress.Unix(local.ToString()!)
            : ChannelAddress.From((IPEndPoint)_listener.LocalEndPoint!);
        while (TryFillOne())
        {
            Assert.True(_waiting.Count < 100, "the backlog never fills");
        }
    }

    internal ChannelAddress Address { get; }

    internal static FullListener On(EndPoint local) => new(local);

    internal static FullListener On(string address, int port = 0) => new(new IPEndPoint(IPAddress.Parse(address), port));

    internal void TakeOne() => _listener.Accept().Dispose();

    /// <summary>Takes all that wait: the next attempt is answered.</summary>
    internal void MakeRoom()
    {
        _waiting.ForEach(static one => one.Dispose());
        _waiting.Clear();
        while (_listener.Poll(0, SelectMode.SelectRead))
        {
            TakeOne();
        }
    }

    public void Dispose()
    {
        _waiting.ForEach(static one => one.Dispose());
        _listener.Dispose();
    }

    private bool TryFillOne()
    {
        var attempt = new ConnectAttempt(ScriptedPeer.EndPointOf(Address), null, new ChannelOptions());
        _waiting.Add(attempt);
        using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        attempt.Wait(patience.Token);
        return attempt.IsDecided;
    }
}
