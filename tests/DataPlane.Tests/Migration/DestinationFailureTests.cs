using System.Buffers.Binary;
using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>What our destination does with a source that is broken, hostile or gone.</summary>
public sealed class DestinationFailureTests
{
    private static readonly byte[] s_shutFailed = [0, 1, 0, 4, 0, 0, 0, 1];

    public static TheoryData<string, FailureReason, string> BadPackets => new()
    {
        { "magic", FailureReason.MalformedStream, "multifd 0" },
        { "version", FailureReason.MalformedStream, "multifd 0" },
        { "unknown flag", FailureReason.MalformedStream, "multifd 0" },
        { "compressed", FailureReason.MalformedStream, "no zstd frame" },
        { "compressed by hardware", FailureReason.MalformedStream, "Qpl, which is not supported" },
        { "too many pages", FailureReason.MalformedStream, "multifd 0" },
        { "payload size", FailureReason.MalformedStream, "multifd 0" },
        { "unknown block", FailureReason.ProtocolViolation, "unknown RAM block 'nowhere'" },
        { "beyond the block", FailureReason.ProtocolViolation, "pc.ram" },
        { "unaligned", FailureReason.ProtocolViolation, "pc.ram" },
        { "torn header", FailureReason.PeerClosed, "multifd 0" },
        { "torn payload", FailureReason.PeerClosed, "multifd 0" },
        { "reset", FailureReason.PeerReset, "multifd 0" },
    };

    [Theory]
    [MemberData(nameof(BadPackets))]
    public async Task A_bad_multifd_packet_ends_the_migration_and_writes_no_page(string what, FailureReason reason, string words)
    {
        await using var scene = new Scene(channels: 1);
        using var main = scene.Source.Main(
            new RecordedStream().Header().Command(CommandType.OpenReturnPath).Start(flush: true).Begin(SectionType.Part));
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Sync());
        var said = RawSource.ListenTo(main);
        SendBad(multifd, what);

        var failure = await scene.FailureAsync();
        Assert.Equal(reason, failure.Reason);
        Assert.Equal("multifd 0", failure.Channel);
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        Assert.Equal(s_shutFailed, await said);
        Assert.NotNull(scene.Guest.Abandoned);
        Assert.False(scene.Guest.Started);
        foreach (var block in scene.Guest.Memory!.Blocks)
        {
            Assert.False(block.Span(0, (int)block.Length).ContainsAnyExcept((byte)0));
        }
    }

    [Fact]
    public async Task A_page_packet_before_the_block_list_is_an_error()
    {
        await using var scene = new Scene(channels: 1);
        using var main = scene.Source.Main(new RecordedStream().Header());
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Pages("pc.ram", 0));
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.ProtocolViolation, failure.Reason);
        Assert.Equal("multifd 0", failure.Channel);
    }

    [Fact]
    public async Task A_channel_that_ends_before_the_next_mark_ends_the_migration_instead_of_hanging_it()
    {
        await using var scene = new Scene(channels: 2);
        using var main = scene.Source.Main(
            new RecordedStream().Header().Start(flush: true).Begin(SectionType.Part).Record(RamFlags.MultifdFlush, 0));
        using var first = scene.Source.Multifd(0);
        using var second = scene.Source.Multifd(1);
        first.Send(RawSource.Sync());
        second.Send(RawSource.Sync());
        first.Send(RawSource.Sync());
        second.Shutdown(SocketShutdown.Send);
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.PeerClosed, failure.Reason);
        Assert.Equal("multifd 1", failure.Channel);
        Assert.Equal(MigrationPhase.Precopy, failure.Phase);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_source_that_vanishes_ends_the_migration(bool reset)
    {
        await using var scene = new Scene(channels: 0);
        using var main = scene.Source.Main(new RecordedStream().Header().Start().Begin(SectionType.Part));
        await scene.UntilMemoryExistsAsync();
        if (reset)
        {
            RawSource.Reset(main);
        }
        else
        {
            main.Close();
        }

        var failure = await scene.FailureAsync();
        Assert.Equal(reset ? FailureReason.PeerReset : FailureReason.PeerClosed, failure.Reason);
        Assert.Equal("main", failure.Channel);
        Assert.Equal(MigrationPhase.Precopy, failure.Phase);
    }

    [Theory]
    [InlineData(true, "s: multifd 0, multifd 1 (channel multifd 0")]
    [InlineData(false, "s: main, multifd 0, multifd 1 (channel main")]
    public async Task A_missing_channel_is_named_when_the_time_is_over(bool mainIsThere, string words)
    {
        await using var scene = new Scene(channels: 2, stall: TimeSpan.FromSeconds(8));
        using var main = mainIsThere ? scene.Source.Main(new RecordedStream().Header().Start(flush: true)) : null;
        if (mainIsThere)
        {
            await scene.UntilAsync(() => scene.Phase == MigrationPhase.Setup);
        }

        var failing = scene.FailureAsync();
        while (!failing.IsCompleted)
        {
            scene.Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        var failure = await failing;
        Assert.Equal(FailureReason.Stalled, failure.Reason);
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_memory_than_allowed_is_refused_before_any_is_created()
    {
        await using var scene = new Scene(channels: 0, maxRam: 4096);
        using var main = scene.Source.Main(new RecordedStream().Header().Command(CommandType.OpenReturnPath).Start());
        var said = RawSource.ListenTo(main);
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.LimitExceeded, failure.Reason);
        Assert.Null(scene.Guest.Memory);
        Assert.Equal(s_shutFailed, await said);
    }

    [Fact]
    public async Task Cancelling_hands_the_guest_back()
    {
        await using var scene = new Scene(channels: 0);
        using var main = scene.Source.Main(new RecordedStream().Header().Command(CommandType.OpenReturnPath).Start());
        var said = RawSource.ListenTo(main);
        await scene.UntilMemoryExistsAsync();
        await scene.Cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => scene.Receiving);
        Assert.Equal(s_shutFailed, await said);
        Assert.NotNull(scene.Guest.Abandoned);
    }

    [Fact]
    public async Task A_host_that_cannot_commit_hands_the_guest_back()
    {
        await using var scene = new Scene(
            channels: 0, new TestIncomingGuest { OnCommit = static () => throw new IOException("disk full") });
        using var main = scene.Source.Main(RecordedStream.Complete());
        var said = RawSource.ListenTo(main);
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.HostFailed, failure.Reason);
        Assert.Equal(MigrationPhase.Commit, failure.Phase);
        Assert.Equal(GuestOwner.Source, failure.Owner);
        Assert.Contains("disk full", failure.Message, StringComparison.Ordinal);
        Assert.Equal([0, 2, 0, 4, 0, 0, 0, 1, .. s_shutFailed], await said);
        Assert.False(scene.Guest.Started);
    }

    [Fact]
    public async Task A_host_that_cannot_start_its_guest_keeps_it()
    {
        await using var scene = new Scene(
            channels: 0, new TestIncomingGuest { OnStart = static () => throw new IOException("no processor left") });
        using var main = scene.Source.Main(RecordedStream.Complete());
        var said = RawSource.ListenTo(main);
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.HostFailed, failure.Reason);
        Assert.Equal(MigrationPhase.Completed, failure.Phase);
        Assert.Equal(GuestOwner.Destination, failure.Owner);
        Assert.Contains("no processor left", failure.Message, StringComparison.Ordinal);
        Assert.Equal([0, 2, 0, 4, 0, 0, 0, 1, 0, 1, 0, 4, 0, 0, 0, 0], await said);
        Assert.Null(scene.Guest.Abandoned);
    }

    [Fact]
    public async Task The_guest_starts_while_the_source_still_holds_its_channels()
    {
        await using var scene = new Scene(channels: 0);
        using var main = scene.Source.Main(RecordedStream.Complete());
        await scene.UntilAsync(() => scene.Guest.Started);
        Assert.False(scene.Receiving.IsCompleted);
        main.Shutdown(SocketShutdown.Send);
        await scene.Receiving.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task A_trailing_sync_without_a_mark_is_no_error()
    {
        // As QEMU 9.1 and 9.2 end their channels.
        await using var scene = new Scene(channels: 1);
        using var main = scene.Source.Main(new RecordedStream().Header().Start(flush: true)
            .Begin(SectionType.End).Record(RamFlags.MultifdFlush, 0).EndSection().Devices());
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Sync());
        multifd.Send([.. RawSource.Pages("pc.ram", 4096), .. RecordedStream.PageContent(7)]);
        multifd.Send(RawSource.Sync());
        multifd.Send(RawSource.Sync());
        main.Shutdown(SocketShutdown.Send);
        multifd.Shutdown(SocketShutdown.Send);
        await scene.Receiving.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.True(scene.Guest.Started);
        Assert.Equal(RecordedStream.PageContent(7), scene.Guest.Memory!.Blocks[0].Span(4096, 4096).ToArray());
    }

    [Fact]
    public async Task Pages_after_the_last_sync_change_nothing_that_is_being_committed()
    {
        var committing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var guest = new TestIncomingGuest
        {
            OnCommit = () =>
            {
                committing.SetResult();
                return release.Task;
            },
        };
        await using var scene = new Scene(channels: 1, guest);
        using var main = scene.Source.Main(new RecordedStream().Header().Start(flush: true)
            .Begin(SectionType.End).Record(RamFlags.MultifdFlush, 0).EndSection().Devices());
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Sync());
        multifd.Send([.. RawSource.Pages("pc.ram", 4096), .. RecordedStream.PageContent(7)]);
        multifd.Send(RawSource.Sync());
        await committing.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        multifd.Send([.. RawSource.Pages("pc.ram", 4096), .. RecordedStream.PageContent(9)]);
        RawSource.ReadToEnd(multifd); // it is refused
        Assert.Equal(RecordedStream.PageContent(7), scene.Guest.Memory!.Blocks[0].Span(4096, 4096).ToArray());
        release.SetResult();
        main.Shutdown(SocketShutdown.Send);
        await scene.Receiving.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.True(scene.Guest.Started);
        Assert.Equal(RecordedStream.PageContent(7), scene.Guest.Memory!.Blocks[0].Span(4096, 4096).ToArray());
    }

    [Fact]
    public async Task A_packet_that_is_still_being_written_keeps_the_guest_from_being_committed()
    {
        await using var scene = new Scene(channels: 1);
        var stream = new RecordedStream().Header().Start(flush: true);
        using var main = scene.Source.Main(stream);
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Sync());
        // A source that sends no page at all is refused as such.
        multifd.Send([.. RawSource.Pages("pc.ram", 0), .. RecordedStream.PageContent(1)]);
        multifd.Send([.. RawSource.Pages("pc.ram", 4096), .. RecordedStream.PageContent(7).AsSpan(0, 2048)]);
        await scene.UntilMemoryExistsAsync();
        await scene.UntilAsync(
            () => scene.Guest.Memory!.Blocks[0].Span(4096, 2048).SequenceEqual(RecordedStream.PageContent(7).AsSpan(0, 2048)));

        main.Send(new RecordedStream().Begin(SectionType.End).EndSection().Devices().Bytes);
        var failure = await scene.FailureAsync();
        Assert.Equal(FailureReason.ProtocolViolation, failure.Reason);
        Assert.Equal("multifd 0", failure.Channel);
        Assert.False(scene.Guest.Committed);
        Assert.NotNull(scene.Guest.Abandoned);
    }

    [Fact]
    public async Task Pages_in_a_sync_packet_and_empty_packets_behind_it_are_taken()
    {
        // As QEMU 7.2 to 8.2 send them.
        await using var scene = new Scene(channels: 1);
        using var main = scene.Source.Main(new RecordedStream().Header("pc-q35-7.2").Start()
            .Begin(SectionType.Part).EndSection().Begin(SectionType.End).EndSection().Devices());
        using var multifd = scene.Source.Multifd(0);
        multifd.Send(RawSource.Sync());
        var packet = RawSource.Pages("pc.ram", 0);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(8), (uint)MultifdFlags.Sync);
        multifd.Send([.. packet, .. RecordedStream.PageContent(9)]);
        var empty = RawSource.Sync();
        BinaryPrimitives.WriteUInt32BigEndian(empty.AsSpan(8), 0);
        BinaryPrimitives.WriteUInt32BigEndian(empty.AsSpan(20), 4096); // stale size, no pages
        multifd.Send([.. empty, .. RawSource.Sync()]);
        main.Shutdown(SocketShutdown.Send);
        multifd.Shutdown(SocketShutdown.Send);
        await scene.Receiving.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.Equal(RecordedStream.PageContent(9), scene.Guest.Memory!.Blocks[0].Span(0, 4096).ToArray());
    }

    private static void SendBad(Socket multifd, string what)
    {
        var packet = RawSource.Pages(what == "unknown block" ? "nowhere" : RecordedStream.Block, 0);
        switch (what)
        {
            case "magic":
                packet[0] = 0x12;
                break;
            case "version":
                packet[7] = 9;
                break;
            case "unknown flag":
                packet[11] = 0x80;
                break;
            case "compressed":
                packet = [.. packet, .. new byte[TargetPage.Size]];
                packet[11] = (byte)MultifdFlags.Zstd;
                break;
            case "compressed by hardware":
                packet[11] = (byte)MultifdFlags.Qpl;
                break;
            case "too many pages":
                BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(16), 129);
                break;
            case "payload size":
                BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(20), 8192);
                break;
            case "beyond the block":
                BinaryPrimitives.WriteUInt64BigEndian(packet.AsSpan(320), RecordedStream.Pages * TargetPage.Size);
                break;
            case "unaligned":
                BinaryPrimitives.WriteUInt64BigEndian(packet.AsSpan(320), 1);
                break;
            case "torn header":
                packet = packet[..700];
                break;
            case "reset":
                RawSource.Reset(multifd);
                return;
        }

        multifd.Send(packet);
        if (what is "torn header" or "torn payload")
        {
            multifd.Shutdown(SocketShutdown.Send);
        }
    }

    /// <summary>One destination that waits, and a source for it.</summary>
    private sealed class Scene : IAsyncDisposable, IProgress<MigrationProgress>
    {
        private readonly MigrationDestination _destination;

        public Scene(int channels, TestIncomingGuest? guest = null, TimeSpan? stall = null, long maxRam = 1 << 20)
        {
            Guest = guest ?? new TestIncomingGuest();
            var options = new MigrationDestinationOptions { MultifdChannels = channels, StallTimeout = stall, MaxRamBytes = maxRam };
            _destination = new MigrationDestination(
                [ChannelAddress.Parse("127.0.0.1:0")], Guest, options, timeProvider: stall is null ? null : Time);
            Receiving = _destination.ReceiveAsync(this, Cancel.Token);
            Source = new RawSource(_destination.LocalAddresses[0]);
        }

        public TestIncomingGuest Guest { get; }

        public RawSource Source { get; }

        public FakeTimeProvider Time { get; } = new();

        public CancellationTokenSource Cancel { get; } = new();

        public Task<MigrationReport> Receiving { get; }

        public Task<MigrationException> FailureAsync() =>
            Assert.ThrowsAsync<MigrationException>(
                () => Receiving.WaitAsync(TimeSpan.FromSeconds(15), TestContext.Current.CancellationToken));

        public MigrationPhase Phase { get; private set; }

        public void Report(MigrationProgress value) => Phase = value.Phase;

        public Task UntilMemoryExistsAsync() => UntilAsync(() => Guest.Memory is not null);

        public async Task UntilAsync(Func<bool> condition)
        {
            while (!condition())
            {
                TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
                await Task.Yield();
            }
        }

        public async ValueTask DisposeAsync()
        {
            Source.Dispose();
            await _destination.DisposeAsync();
            Guest.Dispose();
            Cancel.Dispose();
        }
    }
}
