using DataPlane.Guard.Relay;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A relay thread that breaks.</summary>
public sealed class RelayWorkerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_comes_to_a_worker_that_broke_ends_at_once()
    {
        TaskCompletionSource<Exception> broke = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource<ChannelRelay> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using RelayWorker worker = new("dp-relay-test", ended.SetResult, broke.SetResult);
        worker.Post(() => throw new InvalidOperationException("an error of ours"));
        Assert.IsType<InvalidOperationException>(await broke.Task.WaitAsync(TimeSpan.FromMinutes(1), Token));

        ChannelRelay relay = new(ChannelKind.Main, 0, ChannelId.Main);
        relay.SetClient(pair.Channel);
        worker.Adopt();
        worker.Post(() => worker.Watch(relay, relay.Client!));
        Assert.Same(relay, await ended.Task.WaitAsync(TimeSpan.FromMinutes(1), Token));
        Assert.Equal(0, worker.Relays);
        await pair.Peer.ReadToEndAsync(Token);
    }
}
