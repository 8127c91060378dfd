using System.Net.Sockets;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.FaultTests;

/// <summary>
/// What a source announces or sends without end does not become our memory. Guest memory is the host's, bounded by MaxRamBytes.
/// </summary>
public sealed class MemoryBoundTests
{
    /// <summary>
    /// More than any of these may hold at once: 64 KiB for each of 256 channels, and some copies of 4 MiB of device state.
    /// </summary>
    private const long Bound = 40 << 20;

    /// <summary>Many times the bound: what grows with the stream would show.</summary>
    private const long EndlessBytes = 256L << 20;

    private const int MaxDeviceStateBytes = 4 << 20;

    public static TheoryData<string, FailureReason> Streams => new()
    {
        { "early device sections", FailureReason.MalformedStream },
        { "early device sections after the blocks", FailureReason.LimitExceeded },
        { "device state", FailureReason.LimitExceeded },
        { "one device section", FailureReason.LimitExceeded },
        { "more RAM than allowed", FailureReason.LimitExceeded },
        { "more RAM blocks than sensible", FailureReason.MalformedStream },
        { "rounds without a page", FailureReason.PeerClosed },
        { "pings whose answers nobody reads", FailureReason.Stalled },
    };

    [Theory]
    [MemberData(nameof(Streams))]
    public async Task An_endless_main_stream_ends_in_an_error_and_not_in_our_memory(string what, FailureReason reason)
    {
        await using var scene = new Scene(channels: 0);
        using var main = scene.Connect();
        var (head, endless) = StreamOf(what);
        var feeding = Task.Run(() => Feed(main, head, endless), TestContext.Current.CancellationToken);
        var failure = await scene.FailureAsync();
        await feeding;
        Assert.Equal(reason, failure.Reason);
        Assert.Equal("main", failure.Channel);
        Assert.InRange(scene.MostBytes, 0, Bound);
    }

    [Fact]
    public async Task All_channels_stalled_inside_their_headers_hold_one_block_each()
    {
        const int Channels = 255;
        await using var scene = new Scene(Channels);
        List<ScriptedPeer> peers = [];
        try
        {
            peers.Add(scene.Connect().Send(HostileStream.Head));
            for (var id = 0; id < Channels; id++)
            {
                var bytes = new byte[MultifdInit.Size + 1000];
                new MultifdInit(Guid.Empty, (byte)id).Write(bytes);
                peers.Add(scene.Connect().Send(bytes));
            }

            var failure = await scene.FailureAsync();
            Assert.Equal(FailureReason.Stalled, failure.Reason);
            Assert.InRange(scene.MostBytes, Channels * 64 * 1024, Bound); // the lower end shows that they were all there
        }
        finally
        {
            peers.ForEach(static peer => peer.Dispose());
        }
    }

    private static (byte[] Head, byte[] Endless) StreamOf(string what)
    {
        var ram = HostileStream.RamOf(1);
        return what switch
        {
            "early device sections" => (HostileStream.Head, HostileStream.Devices),
            "early device sections after the blocks" => ([.. HostileStream.Head, .. ram], HostileStream.Devices),
            "device state" => ([.. HostileStream.Head, .. ram, .. HostileStream.EndOfRam], HostileStream.Devices),
            "one device section" =>
                ([.. HostileStream.Head, .. ram, .. HostileStream.EndOfRam, .. HostileStream.Devices.AsSpan(0, 25)], new byte[65536]),
            "more RAM than allowed" => ([.. HostileStream.Head, .. HostileStream.RamTotal(long.MaxValue & ~4095L)], []),
            "more RAM blocks than sensible" => ([.. HostileStream.Head, .. HostileStream.RamOf(WireLimits.MaxRamBlocks + 1)], []),
            "rounds without a page" => ([.. HostileStream.Head, .. ram], HostileStream.EmptyRounds),
            _ => ([.. HostileStream.Head, .. HostileStream.OpenReturnPath], HostileStream.Pings),
        };
    }

    /// <summary>Sends until the destination has had enough, or the stream has been long enough to be called endless.</summary>
    private static void Feed(ScriptedPeer main, byte[] head, byte[] endless)
    {
        try
        {
            main.Send(head);
            for (long sent = 0; endless.Length > 0 && sent < EndlessBytes; sent += endless.Length)
            {
                main.Send(endless);
            }

            main.Finish();
        }
        catch (SocketException)
        {
            // It has closed the connection: that is its good right.
        }
    }

    /// <summary>A destination, and what it holds at most.</summary>
    private sealed class Scene : IAsyncDisposable
    {
        private readonly TestIncomingGuest _guest = new();
        private readonly MigrationDestination _destination;
        private readonly Task<MigrationReport> _receiving;
        private readonly long _before = GC.GetTotalMemory(forceFullCollection: true);

        internal Scene(int channels)
        {
            var options = new MigrationDestinationOptions
            {
                MultifdChannels = channels,
                MaxRamBytes = 1 << 30,
                MaxDeviceStateBytes = MaxDeviceStateBytes,
                StallTimeout = TimeSpan.FromSeconds(2),
            };
            _destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], _guest, options);
            _receiving = _destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        }

        /// <summary>Live managed memory, the pools' blocks among it, beyond what was there before.</summary>
        internal long MostBytes { get; private set; }

        internal ScriptedPeer Connect() => ScriptedPeer.Connect(_destination.LocalAddresses[0]);

        /// <summary>Waits for the failure and looks at the memory all the while.</summary>
        internal async Task<MigrationException> FailureAsync()
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            deadline.CancelAfter(TimeSpan.FromMinutes(1));
            while (!_receiving.IsCompleted)
            {
                deadline.Token.ThrowIfCancellationRequested();
                MostBytes = Math.Max(MostBytes, GC.GetTotalMemory(forceFullCollection: true) - _before);
                await Task.WhenAny(_receiving, Task.Delay(50, deadline.Token));
            }

            return await Assert.ThrowsAsync<MigrationException>(() => _receiving);
        }

        public async ValueTask DisposeAsync()
        {
            await _destination.DisposeAsync();
            _guest.Dispose();
        }
    }
}
