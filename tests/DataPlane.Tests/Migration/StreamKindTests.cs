using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Streams that are no plain migration: each is taken for what it is, or refused by its name before anything is lost.</summary>
public sealed class StreamKindTests
{
    private static readonly byte[] s_ack = [0, 7, 0, 0];
    private static readonly byte[] s_pong = [0, 2, 0, 4, 0, 0, 0, 1];
    private static readonly byte[] s_shut = [0, 1, 0, 4, 0, 0, 0, 0];
    private static readonly byte[] s_shutFailed = [0, 1, 0, 4, 0, 0, 0, 1];
    private static readonly Guid s_uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_source_that_leaves_its_memory_out_keeps_its_guest()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        var main = source.Main(new RecordedStream().Header("pc-q35-10.0").Command(CommandType.OpenReturnPath).Ping(1).Start()
            .Command(CommandType.SwitchoverStart).Begin(SectionType.End).EndSection().Devices());
        var said = RawSource.ListenTo(main);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);

        Assert.Equal(FailureReason.NotSupported, failure.Reason);
        Assert.Contains("announced 20480 bytes of RAM and sent none", failure.Message, StringComparison.Ordinal);
        Assert.Contains("cpr-transfer", failure.Message, StringComparison.Ordinal);
        var words = await said;
        Assert.Equal([.. s_ack, .. s_pong, .. s_shutFailed], words);
        Assert.False(incoming.Committed);
        Assert.NotNull(incoming.Abandoned);
    }

    [Theory]
    [InlineData(1, null)] // its memory went over multifd
    [InlineData(0, "sent none")]
    public async Task Memory_on_the_channels_counts_too(int pages, string? words)
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { MultifdChannels = 1 });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var multifd = source.Multifd(0);
        multifd.Send(RawSource.Sync());
        if (pages > 0)
        {
            multifd.Send(RawSource.Pages("pc.ram", 0));
            multifd.Send(new byte[TargetPage.Size]);
        }

        multifd.Send(RawSource.Sync());
        using var main = source.Main(new RecordedStream().Header().Start(flush: true)
            .Begin(SectionType.End).Record(RamFlags.MultifdFlush, 0).EndSection().Devices());
        multifd.Shutdown(System.Net.Sockets.SocketShutdown.Send);
        main.Shutdown(System.Net.Sockets.SocketShutdown.Send);

        if (words is null)
        {
            Assert.Equal(1, (await receiving).NormalPages);
        }
        else
        {
            var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
            Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("pc-q35-10.0", null, null, true)]
    [InlineData("pc-q35-11.1", null, null, false)]
    [InlineData("pc-q35-7.2", null, null, false)]
    [InlineData("pc-q35-7.2", null, "10.0", true)]
    [InlineData("pc-q35-noble", "pc-q35-9.0", null, true)]
    public async Task The_switchover_is_acknowledged_once_and_before_anything_else(
        string announced, string? machine, string? peer, bool due)
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(
            incoming, new() { SourceMachineType = machine, SourceQemuVersion = peer is null ? null : Version.Parse(peer) });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        var main = source.Main(new RecordedStream().Header(announced)
            .Command(CommandType.OpenReturnPath).Command(CommandType.OpenReturnPath).Ping(1).Start()
            .Begin(SectionType.End).Page(0, RecordedStream.PageContent(1)).EndSection().Devices());
        var end = due ? s_ack.Length + s_pong.Length + s_shut.Length : s_pong.Length + s_shut.Length;
        var said = new byte[end];
        for (var filled = 0; filled < end;)
        {
            filled += await main.ReceiveAsync(said.AsMemory(filled), Token);
        }

        main.Shutdown(System.Net.Sockets.SocketShutdown.Send);

        var report = await receiving;

        Assert.Equal([.. due ? s_ack : [], .. s_pong, .. s_shut], said);
        Assert.False(report.SourceStaysConnected);
        Assert.True(incoming.Started);
    }

    [Fact]
    public async Task A_source_that_stays_after_the_word_is_reported()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { CloseTimeout = TimeSpan.FromMilliseconds(100) });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(RecordedStream.Complete());

        var report = await receiving;

        Assert.True(report.SourceStaysConnected);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public async Task A_background_snapshot_is_kept_and_never_started(int? failing)
    {
        using var incoming = new SnapshotGuest { Fails = failing is not null };
        await using var destination = Listen(incoming);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using (source.Main(Snapshot()))
        {
            if (failing is null)
            {
                var report = await receiving;
                Assert.True(report.IsBackgroundSnapshot);
                Assert.False(report.SourceStaysConnected);
            }
            else
            {
                var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
                Assert.Contains("the snapshot is complete", failure.Message, StringComparison.Ordinal);
            }
        }

        Assert.True(incoming.Inner.Committed);
        Assert.True(incoming.Kept);
        Assert.False(incoming.Inner.Started);
        Assert.Null(incoming.Inner.Abandoned);
        Assert.True(incoming.Inner.Pages!.Received(incoming.Inner.Memory!.Blocks[0])[0]);
    }

    [Fact]
    public async Task A_host_that_would_start_a_background_snapshot_refuses_it()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(Snapshot());

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);

        Assert.Equal(FailureReason.NotSupported, failure.Reason);
        Assert.Contains("turn off capability background-snapshot", failure.Message, StringComparison.Ordinal);
        Assert.False(incoming.Committed);
        Assert.NotNull(incoming.Abandoned);
    }

    [Theory]
    [InlineData("11111111-1111-1111-1111-111111111111", false)]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff", true)]
    [InlineData(null, true)]
    public async Task The_UUID_of_the_configuration_is_compared(string? expected, bool fits)
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { Uuid = expected is null ? null : Guid.Parse(expected) });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(WithUuid());
        main.Shutdown(System.Net.Sockets.SocketShutdown.Send);

        if (fits)
        {
            Assert.Equal(s_uuid, (await receiving).Uuid);
            return;
        }

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Equal(FailureReason.ProtocolViolation, failure.Reason);
        Assert.Contains($"the source's VM has UUID {s_uuid}, expected is {expected}", failure.Message, StringComparison.Ordinal);
        Assert.Null(incoming.Memory); // before anything is made for it
    }

    private static RecordedStream WithUuid()
    {
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        new ConfigurationSection { MachineName = "pc-q35-10.0", Uuid = s_uuid }.Write(bytes);
        var header = new byte[StreamHeader.Size];
        StreamHeader.Write(header);
        return new RecordedStream().Raw(header).Raw(bytes.WrittenSpan).Start()
            .Begin(SectionType.End).Page(0, RecordedStream.PageContent(1)).EndSection().Devices();
    }

    private static RecordedStream Snapshot() => new RecordedStream().Header().Start()
        .Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).EndSection().Devices();

    private static MigrationDestination Listen(IIncomingGuest guest, MigrationDestinationOptions? options = null) =>
        new([ChannelAddress.Parse("127.0.0.1:0")], guest, (options ?? new()) with { MaxRamBytes = 1 << 20 });

    private sealed class SnapshotGuest : ISnapshotGuest, IDisposable
    {
        public TestIncomingGuest Inner { get; } = new();

        public bool Kept { get; private set; }

        public bool Fails { get; init; }

        public ValueTask<GuestMemory> CreateMemoryAsync(
            IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken) =>
            Inner.CreateMemoryAsync(machine, blocks, cancellationToken);

        public ValueTask CommitAsync(
            DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken) =>
            Inner.CommitAsync(devices, pages, cancellationToken);

        public ValueTask StartAsync(CancellationToken cancellationToken) => Inner.StartAsync(cancellationToken);

        public ValueTask KeepAsync(CancellationToken cancellationToken)
        {
            Kept = true;
            return Fails ? throw new IOException("no room") : default;
        }

        public ValueTask AbandonAsync(Exception cause) => Inner.AbandonAsync(cause);

        public void Dispose() => Inner.Dispose();
    }
}
