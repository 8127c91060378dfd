using System.Collections.Concurrent;
using DataPlane.Guard;
using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A relay between a scripted client over TCP and a scripted QEMU over a Unix socket.</summary>
public abstract class RelayScene : IAsyncLifetime
{
    private readonly ConcurrentQueue<ChannelRelay> _ended = new();
    private readonly ConcurrentQueue<Exception> _failures = new();

    protected RelayScene() => Engine = new RelayEngine(2, Tell, _failures.Enqueue);

    private protected RelayEngine Engine { get; }

    private protected ChannelPair Client { get; private set; } = null!;

    private protected ChannelPair Qemu { get; private set; } = null!;

    /// <summary>Told of the end before anybody else, on the thread that tells it.</summary>
    private protected Action<ChannelRelay> Told { get; set; } = _ => { };

    protected static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Client = await ChannelPair.ConnectAsync(Token);
        Qemu = await ChannelPair.ConnectAsync(Token, unix: true);
    }

    public async ValueTask DisposeAsync()
    {
        Engine.Dispose();
        await Client.DisposeAsync();
        await Qemu.DisposeAsync();
        Assert.Empty(_failures);
        GC.SuppressFinalize(this);
    }

    private protected async Task EndedAsync(ChannelRelay relay, RelayEnding ending)
    {
        await Eventually.TrueAsync(() => _ended.Contains(relay), "the end is told", Token);
        Assert.Equal(ending, relay.Ending);
        Assert.Equal(GuardChannelState.Closed, relay.State);
        await Eventually.TrueAsync(() => Engine.Relays == 0, "none is left", Token);
        Assert.True(Client.Channel.Handle.IsClosed);
    }

    private void Tell(ChannelRelay relay)
    {
        Told(relay);
        _ended.Enqueue(relay);
    }
}
