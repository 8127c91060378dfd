using System.Net;
using System.Net.Sockets;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Serve;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class WireLegTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static GuestMemory Memory(long bytes) => new([RamBlock.Allocate("pc.ram", bytes, RamAllocation.Default)]);

    private static Task<IServeLegRun> PrepareAsync(WireVariant variant, GuestMemory memory, int channels) =>
        new WireServeLeg(variant, IPAddress.Loopback, new ChannelOptions()).PrepareAsync(
            new PrepareMessage { Leg = variant.LegName(), RamBytes = memory.TotalBytes, Channels = channels }, memory, Token);

    public static TheoryData<string, long, int> Shapes()
    {
        var shapes = new TheoryData<string, long, int>();
        foreach (var variant in Enum.GetValues<WireVariant>())
        {
            foreach ((var bytes, var channels) in (ReadOnlySpan<(long, int)>)
                [(4096, 1), (4096, 3), (512 * 1024, 1), (5 << 20, 4), ((3 << 20) + 4096, 2), ((1 << 20) - 4096, 0), (8 << 20, 16)])
            {
                shapes.Add(variant.ToString(), bytes, channels);
            }
        }

        return shapes;
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public async Task Every_byte_arrives_whatever_the_size_and_number_of_connections(string variantName, long bytes, int channels)
    {
        var variant = Enum.Parse<WireVariant>(variantName);
        using var guest = new Workload(new WorkloadOptions { RamBytes = bytes }, TimeProvider.System);
        using var target = Memory(bytes);
        await using var run = await PrepareAsync(variant, target, channels);
        var receiving = run.RunAsync(Token);
        var sample = await new WireLeg(variant, new ChannelOptions()).RunAsync(
            new LegDestination(IPAddress.Loopback, run.Port, channels), guest, _ => { }, Token);
        var result = await receiving;
        Assert.Null(result.Error);
        Assert.Equal(bytes, result.Bytes);
        Assert.Equal(bytes, sample.TransferredBytes);
        Assert.True(sample.Seconds > 0 && result.Seconds > 0);
        Assert.Equal(MemoryDigest.Compute(guest.Block), MemoryDigest.Compute(target.Blocks[0]));
    }

    [Fact]
    public void The_parts_of_a_block_cover_it_without_gap_or_overlap()
    {
        using var block = RamBlock.Allocate("ram", 17 * TargetPage.Size, RamAllocation.Default);
        for (var count = 1; count <= 40; count++)
        {
            long next = 0;
            for (var index = 0; index < count; index++)
            {
                (var start, var length) = WirePartition.Of(block, index, count);
                Assert.Equal(next, start);
                next = start + length;
            }

            Assert.Equal(block.Length, next);
        }
    }

    public static TheoryData<string, long[]> HostileRanges() => new()
    {
        { "Partition", [-4096, 4096] },
        { "Partition", [0, -1] },
        { "Partition", [0, (1 << 20) + 1] },
        { "Partition", [long.MaxValue, 1] },
        { "Partition", [4096, long.MaxValue] },
        { "Cursor", [-4096] },
        { "Cursor", [1 << 20] },
        { "Cursor", [long.MinValue] },
        { "Cursor", [long.MaxValue] },
    };

    [Theory]
    [MemberData(nameof(HostileRanges))]
    public async Task A_range_outside_the_memory_ends_the_leg_with_nothing_written(string variantName, long[] range)
    {
        using var target = Memory(1 << 20);
        await using var run = await PrepareAsync(Enum.Parse<WireVariant>(variantName), target, 1);
        var receiving = run.RunAsync(Token);
        using var peer = await ConnectAsync(run.Port);
        await peer.SendAsync(range.SelectMany(BitConverter.GetBytes).ToArray(), Token);
        var result = await receiving;
        Assert.Contains("not inside", result.Error, StringComparison.Ordinal);
        Assert.False(target.Blocks[0].Span(0, 1 << 20).ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData("Partition")]
    [InlineData("Cursor")]
    public async Task A_peer_that_closes_early_fails_the_leg_and_frees_the_other_connections(string variantName)
    {
        using var target = Memory(1 << 20);
        await using var run = await PrepareAsync(Enum.Parse<WireVariant>(variantName), target, 3);
        var receiving = run.RunAsync(Token);
        using var silent = await ConnectAsync(run.Port);
        (await ConnectAsync(run.Port)).Dispose();
        var result = await receiving.WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.Contains("closed", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelling_frees_threads_that_wait_for_a_connection_and_for_data()
    {
        using var target = Memory(1 << 20);
        using var stop = new CancellationTokenSource();
        await using var run = await PrepareAsync(WireVariant.Cursor, target, 2);
        var receiving = run.RunAsync(stop.Token);
        using var silent = await ConnectAsync(run.Port);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving.WaitAsync(TimeSpan.FromSeconds(30), Token));
    }

    [Fact]
    public async Task A_sender_without_anybody_listening_fails_with_the_reason()
    {
        using var unused = new Socket(SocketType.Stream, ProtocolType.Tcp);
        unused.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using var guest = new Workload(new WorkloadOptions { RamBytes = 1 << 20 }, TimeProvider.System);
        var destination = new LegDestination(IPAddress.Loopback, ((IPEndPoint)unused.LocalEndPoint!).Port, 2);
        var exception = await Assert.ThrowsAsync<IOException>(
            () => new WireLeg(WireVariant.Partition, new ChannelOptions()).RunAsync(destination, guest, _ => { }, Token));
        Assert.Contains("refused", exception.Message, StringComparison.OrdinalIgnoreCase);
    }

    private static async Task<Socket> ConnectAsync(int port)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port, Token);
        return socket;
    }
}
