using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Our source to our destination, over real loopback sockets.</summary>
public sealed class PrecopyTests
{
    private static readonly ChannelAddress s_anyPort = ChannelAddress.Parse("127.0.0.1:0");

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(8)]
    public async Task A_stopped_guest_arrives_byte_for_byte(int channels)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        var (sent, received) = await MigrateAsync(guest, incoming, channels);

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.Equal(guest.Devices, incoming.Devices!.Unwrap("test").ToArray());
        Assert.True(incoming.Started);
        Assert.Null(incoming.Abandoned);
        Assert.Equal(guest.MachineName, incoming.Machine!.Name);
        Assert.Equal(channels > 0 ? guest.Uuid : null, received.Uuid);
        Assert.Contains(incoming.Machine.Uuid, (Guid?[])[null, received.Uuid]);
        Assert.Equal(1, sent.Rounds);
        Assert.Equal(TimeSpan.Zero, sent.Downtime);
        Assert.Equal(guest.Memory.TotalPages, sent.NormalPages + sent.ZeroPages);
        Assert.Equal(sent.NormalPages, received.NormalPages);
        Assert.Equal(sent.ZeroPages, received.ZeroPages);
        Assert.Equal(sent.TransferredBytes, received.TransferredBytes);
        Assert.Equal(channels + 1, received.Channels.Count);
        Assert.Equal(
            sent.Channels.Select(static c => (c.Kind, c.Id, c.Bytes)), received.Channels.Select(static c => (c.Kind, c.Id, c.Bytes)));
        Assert.Equal(guest.Memory.TotalPages, incoming.Pages!.Count());
        Assert.Equal(ChannelKind.Main, received.Channels[0].Kind);
        Assert.Equal((GuestOwner.Destination, GuestOwner.Destination), (sent.Owner, received.Owner));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task A_running_guest_arrives_as_it_was_when_it_stopped(int channels)
    {
        using var guest = TestGuestThatRuns();
        using var incoming = new TestIncomingGuest();
        var (sent, _) = await MigrateAsync(guest, incoming, channels);

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(sent.Rounds >= 2);
        Assert.True(sent.Downtime > TimeSpan.Zero);
        Assert.Equal(0, guest.Resumed);
        Assert.False(guest.IsRunning);
    }

    [Theory]
    [InlineData(CompressionMethod.Zlib, 1, false)]
    [InlineData(CompressionMethod.Zlib, 4, true)]
    [InlineData(CompressionMethod.Zstd, 1, false)]
    [InlineData(CompressionMethod.Zstd, 4, true)]
    public async Task A_guest_arrives_compressed(CompressionMethod method, int channels, bool running)
    {
        using var guest = running ? TestGuestThatRuns() : TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        var (sent, received) = await MigrateAsync(guest, incoming, channels, new MigrationSourceOptions { Compression = method });

        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.Equal(sent.NormalPages, received.NormalPages);
        Assert.Equal(sent.ZeroPages, received.ZeroPages);
        Assert.Equal(sent.TransferredBytes, received.TransferredBytes);
        if (running)
        {
            Assert.True(sent.Rounds >= 2);
            Assert.True(sent.TransferredBytes * 4 < sent.NormalPages * TargetPage.Size, $"{sent.TransferredBytes} bytes");
        }
    }

    [Theory]
    [InlineData(CompressionMethod.None, CompressionMethod.Zlib, "compressed by none, expected is zlib")]
    [InlineData(CompressionMethod.Zlib, CompressionMethod.Zstd, "compressed by zlib, expected is zstd")]
    [InlineData(CompressionMethod.Zstd, CompressionMethod.None, "compressed by zstd, expected is none")]
    public async Task A_destination_that_demands_another_method_says_so(CompressionMethod method, CompressionMethod demanded, string words)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [s_anyPort], incoming, new MigrationDestinationOptions { MultifdChannels = 2, Compression = demanded });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var source = new MigrationSource(guest, new MigrationSourceOptions { MultifdChannels = 2, Compression = method });
        await Assert.ThrowsAsync<MigrationException>(
            () => source.MigrateAsync(destination.LocalAddresses[0], null, TestContext.Current.CancellationToken));
        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        Assert.NotNull(incoming.Abandoned);
    }

    [Theory]
    [InlineData(2, CompressionMethod.Zlib, 10, "0 to 9")]
    [InlineData(2, CompressionMethod.Zlib, -1, "0 to 9")]
    [InlineData(2, CompressionMethod.Zstd, 0, "1 to 20")]
    [InlineData(2, CompressionMethod.Zstd, 21, "1 to 20")]
    [InlineData(2, CompressionMethod.None, 1, "no level without compression")]
    [InlineData(2, (CompressionMethod)3, null, "0 to 2")]
    [InlineData(0, CompressionMethod.Zstd, null, "multifd")]
    public void Compression_that_cannot_work_is_refused_before_anything_is_connected(
        int channels, CompressionMethod method, int? level, string words)
    {
        using var guest = TestGuest.Patterned(1 << 20);
        var options = new MigrationSourceOptions { MultifdChannels = channels, Compression = method, CompressionLevel = level };
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => new MigrationSource(guest, options));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rounds_go_on_until_what_is_left_fits_the_downtime()
    {
        // Each collection finds half as many pages; 1 ms fits only few of them.
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 64 << 20, RamAllocation.Default))
        {
            IsRunning = true,
            WhileRunning = static (guest, collection) =>
            {
                var block = guest.Memory.Blocks[0];
                for (var page = 0; page < block.PageCount >> collection; page++)
                {
                    guest.Write(block, page, (byte)collection);
                }
            },
        };
        using var incoming = new TestIncomingGuest();
        var (sent, _) = await MigrateAsync(
            guest, incoming, channels: 2, new MigrationSourceOptions { MaxDowntime = TimeSpan.FromMicroseconds(200) });
        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(sent.Rounds >= 4, $"{sent.Rounds} rounds");
    }

    [Fact]
    public async Task Progress_is_reported_in_the_order_of_the_phases()
    {
        using var guest = TestGuestThatRuns();
        using var incoming = new TestIncomingGuest();
        var reports = new ProgressLog();
        await MigrateAsync(guest, incoming, channels: 2, progress: reports);
        var phases = reports.Reports.Select(static report => report.Phase).Distinct().ToArray();
        Assert.Equal(
            [
                MigrationPhase.Setup, MigrationPhase.Precopy, MigrationPhase.Switchover,
                MigrationPhase.DeviceState, MigrationPhase.Commit, MigrationPhase.Completed,
            ],
            phases);
        Assert.Contains(reports.Reports, static report => report.ExpectedDowntime is not null);
    }

    [Fact]
    public async Task Who_listens_to_progress_ends_nothing_by_throwing()
    {
        using var guest = TestGuestThatRuns();
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [s_anyPort], incoming, new() { ProgressInterval = TimeSpan.FromMilliseconds(1) });
        var receiving = destination.ReceiveAsync(new Thrower(), TestContext.Current.CancellationToken);

        await new MigrationSource(guest, new() { ProgressInterval = TimeSpan.FromMilliseconds(1) }).MigrateAsync(
            destination.LocalAddresses[0], new Thrower(), TestContext.Current.CancellationToken);

        await receiving;
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_guest_moves_over_a_unix_socket(int channels)
    {
        var path = Path.Combine(Path.GetTempPath(), $"dp-{Guid.NewGuid():N}.sock");
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new TestIncomingGuest();
        await MigrateAsync(guest, incoming, channels, address: ChannelAddress.Parse($"unix:{path}"));
        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.False(File.Exists(path));
    }

    internal static async Task<(MigrationReport Sent, MigrationReport Received)> MigrateAsync(
        IMigratableGuest guest,
        IIncomingGuest incoming,
        int channels,
        MigrationSourceOptions? options = null,
        ChannelAddress? address = null,
        IProgress<MigrationProgress>? progress = null)
    {
        await using var destination = new MigrationDestination(
            [address ?? s_anyPort], incoming, new MigrationDestinationOptions { MultifdChannels = channels });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var source = new MigrationSource(guest, (options ?? new()) with { MultifdChannels = channels });
        var sending = source.MigrateAsync(destination.LocalAddresses[0], progress, TestContext.Current.CancellationToken);
        await Task.WhenAll(sending, receiving).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        return (await sending, await receiving);
    }

    private static TestGuest TestGuestThatRuns() => new(
        RamBlock.Allocate("pc.ram", 32 << 20, RamAllocation.Default with { HugePages = false }),
        RamBlock.Allocate("vga.vram", 1 << 20, RamAllocation.Default with { HugePages = false }))
    {
        IsRunning = true,
        WhileRunning = static (guest, collection) =>
        {
            foreach (var block in guest.Memory.Blocks)
            {
                for (long page = collection; page < block.PageCount; page += 3 * collection)
                {
                    // Some become zero again: the destination must clear them.
                    guest.Write(block, page, (byte)(collection % 3));
                }
            }
        },
    };

    private sealed class ProgressLog : IProgress<MigrationProgress>
    {
        private readonly List<MigrationProgress> _reports = [];

        public IReadOnlyList<MigrationProgress> Reports
        {
            get
            {
                lock (_reports)
                {
                    return [.. _reports];
                }
            }
        }

        public void Report(MigrationProgress value)
        {
            lock (_reports)
            {
                _reports.Add(value);
            }
        }
    }

    private sealed class Thrower : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value) => throw new InvalidOperationException("nobody looks at this");
    }
}
