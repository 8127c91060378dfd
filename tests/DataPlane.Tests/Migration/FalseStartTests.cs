using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>A destination that keeps waiting: what fails before the guest's memory is created is a connection's failure.</summary>
public sealed class FalseStartTests
{
    private static readonly TimeSpan s_short = TimeSpan.FromMilliseconds(300);

    private static readonly RecordedStream s_list = new RecordedStream().Header().Command(CommandType.OpenReturnPath).Ping(1)
        .BeginStart().BlockList((RecordedStream.Block, RecordedStream.Pages * TargetPage.Size), ("other", TargetPage.Size));

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string> Strangers =>
        ["closes after the configuration", "garbage for a section", "a broken list", "pages before the list", "a reset",
            "a broken end of the list"];

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task What_goes_wrong_before_the_memory_is_made_is_the_connections_failure(string kind)
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new());
        var refusals = Refusals(destination);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);

        var stranger = source.Main(kind switch
        {
            "garbage for a section" => new RecordedStream().Header().Raw(8, 0xFF, 0xFF, 0, 0),
            "a broken list" => new RecordedStream().Header().BeginStart().Record(RamFlags.MemorySize, 8192).Raw(new byte[300]),
            "pages before the list" => new RecordedStream().Header().BeginStart().Raw(new byte[7]).Raw(8).Raw(new byte[300]),
            "a broken end of the list" => new RecordedStream().Raw(s_list.Bytes).Raw(new byte[9]),
            "a reset" => s_list,
            _ => new RecordedStream().Header().Raw(8),
        });
        if (kind == "a reset")
        {
            await Eventually.TrueAsync(() => destination.Admitted == 1, "it is in", Token);
            RawSource.Reset(stranger);
        }
        else
        {
            if (kind.StartsWith("closes", StringComparison.Ordinal))
            {
                stranger.Shutdown(SocketShutdown.Send);
            }

            RawSource.ReadToEnd(stranger);
        }

        await FinishAsync(source, receiving);
        Assert.Equal([RefusalReason.FalseStart], refusals.Select(static refusal => refusal.Reason));
        Assert.True(incoming.Started);
        Assert.Null(incoming.Abandoned);
    }

    [Fact]
    public async Task Whoever_stops_after_its_list_of_blocks_gets_no_memory_and_the_source_that_waits_is_served()
    {
        var made = 0;
        using var incoming = new TestIncomingGuest();
        var counting = new CountingGuest(incoming, () => made++);
        await using var destination = Listen(counting, new() { UndecidedTimeout = s_short });
        var refusals = Refusals(destination);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var stranger = source.Main(new RecordedStream().Raw(s_list.Bytes).Record(RamFlags.EndOfSection, 0)); // a byte is missing
        await Eventually.TrueAsync(() => destination.Admitted == 1, "it is in", Token);

        await FinishAsync(source, receiving); // beside the first, before anything is known of it

        var refusal = Assert.Single(refusals);
        Assert.Equal(RefusalReason.FalseStart, refusal.Reason);
        Assert.Contains("did not go on within 0.3 s", refusal.Detail, StringComparison.Ordinal);
        Assert.Equal(1, made);
    }

    [Fact]
    public async Task Memory_is_made_when_every_channel_is_there()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { MultifdChannels = 2, UndecidedTimeout = s_short });
        var refusals = Refusals(destination);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var multifd = source.Multifd(1);
        using var stranger = source.Main(new RecordedStream().Header().Start(flush: true).Begin(SectionType.Part));

        RawSource.ReadToEnd(stranger);

        await Eventually.TrueAsync(() => !refusals.IsEmpty, "it is told", Token);
        var refusal = Assert.Single(refusals);
        Assert.Contains("missing after 0.3 s: multifd 0", refusal.Detail, StringComparison.Ordinal);
        Assert.Null(incoming.Memory);
        Assert.False(receiving.IsCompleted);
        await destination.DisposeAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => receiving);
    }

    [Fact]
    public async Task A_multifd_channel_that_closes_before_the_memory_is_made_holds_its_place_no_longer()
    {
        Socket? stranger = null;
        await FalselyAsync(channels: 1, source => stranger = source.Multifd(0), _ => stranger!.Shutdown(SocketShutdown.Send));
    }

    [Fact]
    public async Task A_UUID_that_only_a_multifd_channel_has_brought_does_not_end_the_wait()
    {
        var head = new ArrayBufferWriter<byte>();
        StreamHeader.Write(head.GetSpan(StreamHeader.Size));
        head.Advance(StreamHeader.Size);
        new ConfigurationSection { MachineName = "pc-q35-11.1", Uuid = Guid.NewGuid() }.Write(head);

        await FalselyAsync(
            channels: 1,
            static source => source.Multifd(0),
            source => source.Main(new RecordedStream().Raw(head.WrittenSpan.ToArray()).Command(CommandType.OpenReturnPath)));
    }

    [Fact]
    public async Task More_device_sections_before_the_RAM_than_a_source_sends_are_a_false_start()
    {
        ArrayBufferWriter<byte> section = new();
        section.Advance(SectionHeader.Write(
            section.GetSpan(SectionHeader.MaxSize), SectionType.Full, 9, "tiny"u8, instance: 0, version: 1));
        section.Write("ten bytes."u8);
        SectionFooter.Write(section.GetSpan(SectionFooter.Size), 9);
        section.Advance(SectionFooter.Size);
        var stream = new RecordedStream().Header();
        for (var i = 0; i < WireLimits.MaxEarlySections + 2; i++) // where one ends shows when the next begins
        {
            stream.Raw(section.WrittenSpan);
        }

        var refusal = await FalselyAsync(channels: 0, source => source.Main(stream));

        Assert.Contains("1025 device sections", refusal.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_source_that_comes_as_the_one_before_it_is_closed_has_all_of_its_places()
    {
        const int Channels = 16;
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { MultifdChannels = Channels });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        var strangers = source.Multifd(0);
        await Eventually.TrueAsync(() => destination.Admitted == 1, "it is in", Token);
        using var stranger = source.Main(new RecordedStream().Header().Raw(8, 0xFF, 0xFF, 0, 0));
        RawSource.ReadToEnd(stranger);

        // At once, and those of its channels first that the other had, as a QEMU does.
        var multifd = Enumerable.Range(0, Channels).Select(id => source.Multifd((byte)id)).ToList();
        using var main = source.Main(new RecordedStream().Header().Start(flush: true)
            .Begin(SectionType.End).Page(0, RecordedStream.PageContent(1)).Record(RamFlags.MultifdFlush, 0).EndSection().Devices());
        foreach (var channel in multifd)
        {
            channel.Send([.. RawSource.Sync(), .. RawSource.Sync()]);
            channel.Shutdown(SocketShutdown.Send);
        }

        main.Shutdown(SocketShutdown.Send);
        Assert.Equal(1, (await receiving.WaitAsync(TimeSpan.FromMinutes(1), Token)).NormalPages);
        Assert.Equal(1, destination.Refused[RefusalReason.FalseStart]);
        strangers.Dispose();
    }

    [Fact]
    public async Task Multifd_channels_without_main_are_given_up_too()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { MultifdChannels = 1, UndecidedTimeout = s_short });
        var refusals = Refusals(destination);
        using var stop = new CancellationTokenSource();
        var receiving = destination.ReceiveAsync(cancellationToken: stop.Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var stranger = source.Multifd(0);

        RawSource.ReadToEnd(stranger);

        await Eventually.TrueAsync(() => !refusals.IsEmpty, "it is told", Token);
        Assert.Contains("missing after 0.3 s: main", Assert.Single(refusals).Detail, StringComparison.Ordinal);
        await stop.CancelAsync();
        await Assert.ThrowsAsync<OperationCanceledException>(() => receiving);
    }

    [Fact]
    public async Task Who_asks_for_what_is_not_done_here_hears_it_and_ends_the_wait()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new());
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(new RecordedStream().Header().BeginStart().Record(RamFlags.MemorySize, 1L << 40));

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);

        Assert.Equal(FailureReason.LimitExceeded, failure.Reason);
    }

    [Fact]
    public async Task Once_memory_is_made_a_failure_is_the_migrations()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new());
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(new RecordedStream().Header().Start().Begin(SectionType.Part));
        main.Shutdown(SocketShutdown.Send);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);

        Assert.Equal(FailureReason.PeerClosed, failure.Reason);
        Assert.NotNull(incoming.Abandoned);
        Assert.Equal(0, destination.Refused[RefusalReason.FalseStart]);
    }

    [Fact]
    public async Task Without_the_option_the_first_failure_is_the_last()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming, new());
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        using var main = source.Main(new RecordedStream().Header().Raw(8));
        main.Shutdown(SocketShutdown.Send);
        Assert.Equal(FailureReason.PeerClosed, (await Assert.ThrowsAsync<MigrationException>(() => receiving)).Reason);
    }

    [Fact]
    public async Task Who_is_in_none_of_the_allowed_networks_is_not_heard()
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { Allow = [IPNetwork.Parse("127.0.0.2/32")] });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var stranger = ScriptedPeer.Connect(destination.LocalAddresses[0], IPAddress.Parse("127.0.0.3"));
        await stranger.ReadToEndAsync(Token);
        Assert.Equal(1, destination.Refused[RefusalReason.NotAllowed]);

        using var source = ScriptedPeer.Connect(destination.LocalAddresses[0], IPAddress.Parse("127.0.0.2"));
        source.Send(RecordedStream.Complete(returnPath: false).Bytes).Finish();
        Assert.Equal(3, (await receiving).NormalPages);
    }

    private static MigrationDestination Listen(IIncomingGuest guest, MigrationDestinationOptions options) =>
        new([ChannelAddress.Parse("127.0.0.1:0")], guest, options with { MaxRamBytes = 1 << 20, KeepsWaiting = true });

    private static ConcurrentQueue<RefusalEventArgs> Refusals(MigrationDestination destination)
    {
        ConcurrentQueue<RefusalEventArgs> refusals = new();
        destination.Refusal += (_, refusal) => refusals.Enqueue(refusal);
        return refusals;
    }

    /// <summary>
    /// What is done, each thing when the one before has been let in, is a false start, and the destination waits for the next.
    /// </summary>
    private static async Task<RefusalEventArgs> FalselyAsync(int channels, params Action<RawSource>[] comes)
    {
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, new() { MultifdChannels = channels });
        var refusals = Refusals(destination);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        using var source = new RawSource(destination.LocalAddresses[0]);
        for (var i = 0; i < comes.Length; i++)
        {
            await Eventually.TrueAsync(() => destination.Admitted >= i, "the one before is in", Token);
            comes[i](source);
        }

        await Eventually.TrueAsync(() => !refusals.IsEmpty, "it is told", Token);
        var refusal = Assert.Single(refusals);
        Assert.Equal(RefusalReason.FalseStart, refusal.Reason);
        Assert.False(receiving.IsCompleted);
        await destination.DisposeAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => receiving);
        return refusal;
    }

    /// <summary>The honest source.</summary>
    private static async Task FinishAsync(RawSource source, Task<MigrationReport> receiving)
    {
        using var main = source.Main(RecordedStream.Complete(returnPath: false));
        main.Shutdown(SocketShutdown.Send);
        Assert.Equal(3, (await receiving.WaitAsync(TimeSpan.FromMinutes(1), Token)).NormalPages);
    }

    private sealed class CountingGuest(TestIncomingGuest inner, Action made) : IIncomingGuest
    {
        public ValueTask<GuestMemory> CreateMemoryAsync(
            IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
        {
            made();
            return inner.CreateMemoryAsync(machine, blocks, cancellationToken);
        }

        public ValueTask CommitAsync(
            DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken) =>
            inner.CommitAsync(devices, pages, cancellationToken);

        public ValueTask StartAsync(CancellationToken cancellationToken) => inner.StartAsync(cancellationToken);

        public ValueTask AbandonAsync(Exception cause) => inner.AbandonAsync(cause);
    }
}
