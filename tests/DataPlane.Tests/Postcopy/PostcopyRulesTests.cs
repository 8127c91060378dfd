using DataPlane.Tests.MainStream;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// What is legal in which state, and who has the guest when it was not (specification, 4-postcopy sections 4.1.7, 4.8.4, 4.8.5).
/// </summary>
public sealed class PostcopyRulesTests
{
    private static readonly Dictionary<string, Func<RecordedStream>> s_before = new()
    {
        ["a discard without advice"] = static () => ScriptedSource.Discard(
            new RecordedStream().Header().Command(CommandType.OpenReturnPath).Start(), RecordedStream.Block, 0, 1),
        ["a discard before the blocks"] = static () => ScriptedSource.Discard(
            new RecordedStream().Header().Command(CommandType.OpenReturnPath), RecordedStream.Block, 0, 1),
        ["a discard of an unknown block"] = static () => ScriptedSource.Discard(ScriptedSource.Advised(), "nowhere", 0, 1),
        ["a discard behind the block's end"] = static () =>
            ScriptedSource.Discard(ScriptedSource.Advised(), RecordedStream.Block, RecordedStream.Pages, 1),
        ["a second advice"] = static () => ScriptedSource.Advised().Command(CommandType.PostcopyAdvise, new byte[PostcopyAdvise.Size]),
        ["pages behind a discard"] = static () => ScriptedSource.Discard(ScriptedSource.Advised(), "other", 0, 1).Begin(SectionType.Part),
        ["a start behind a discard"] = static () => ScriptedSource.Discard(ScriptedSource.Advised(), "other", 0, 1).Start(),
        ["run without a package"] = static () => ScriptedSource.Advised().Command(CommandType.PostcopyRun),
        ["listen without a package"] = static () => ScriptedSource.Advised().Command(CommandType.PostcopyListen),
        ["resume"] = static () => ScriptedSource.Advised().Command(CommandType.PostcopyResume),
        ["a question of a recovery"] = static () => ScriptedSource.Advised().Raw(ScriptedSource.Questions()),
        ["a package without listen"] = static () =>
            ScriptedSource.Advised().Command(CommandType.Packaged, 0, 0, 0, 5).Command(CommandType.PostcopyRun),
        ["a package beyond all limits"] = static () => ScriptedSource.Advised().Command(CommandType.Packaged, 0xFF, 0xFF, 0xFF, 0xFF),
        ["a package without a return path"] = static () => ScriptedSource.Package(new RecordedStream().Header().Start()),
    };

    private static readonly Dictionary<string, Func<ScriptedSource, byte[]>> s_after = new()
    {
        ["a discard"] = static _ => ScriptedSource.Discard(new RecordedStream(), RecordedStream.Block, 0, 1).Bytes,
        ["an advice"] = static _ => new RecordedStream().Command(CommandType.PostcopyAdvise, new byte[PostcopyAdvise.Size]).Bytes,
        ["a second package"] = static _ => ScriptedSource.Package(new RecordedStream()).Bytes,
        ["resume while nothing is paused"] = static _ => new RecordedStream().Command(CommandType.PostcopyResume).Bytes,
        ["a question while nothing is paused"] = static _ => ScriptedSource.Questions(),
        ["a start"] = static _ => new RecordedStream().Start().Bytes,
        ["a device"] = static _ => [(byte)SectionType.Full],
        ["another section's pages"] = static _ => new RecordedStream().Begin(SectionType.Part, id: 9).Bytes,
        ["an unknown block"] = static _ => new RecordedStream().Begin(SectionType.Part).Record(RamFlags.Page, 0, "nowhere").Bytes,
        ["a page behind the block's end"] = static _ =>
            new RecordedStream().Begin(SectionType.Part)
                .Record(RamFlags.Page, RecordedStream.Pages * TargetPage.Size, RecordedStream.Block).Bytes,
        ["a page that continues no block"] = static _ =>
            new RecordedStream().Begin(SectionType.Part).Record(RamFlags.Page | RamFlags.Continue, 0).Bytes,
        ["a page twice"] = static source => source.Part(1, 1),
        ["a delta"] = static _ => new RecordedStream().Begin(SectionType.Part).Record(RamFlags.Xbzrle, 0, RecordedStream.Block).Bytes,
        ["a list of blocks"] = static _ => new RecordedStream().Begin(SectionType.Part).Record(RamFlags.MemorySize, TargetPage.Size).Bytes,
        ["a zero page that is none"] = static _ =>
            new RecordedStream().Begin(SectionType.Part).Record(RamFlags.Zero, 0, RecordedStream.Block).Raw(1).Bytes,
        ["a wrong footer"] = static _ => new RecordedStream().Begin(SectionType.Part).EndSection(id: 9).Bytes,
    };

    public static TheoryData<string> Before => new(s_before.Keys);

    public static TheoryData<string> After => new(s_after.Keys);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Before))]
    public async Task Before_the_package_it_ends_the_migration_and_the_guest_is_its_sources(string what)
    {
        await using var source = new ScriptedSource();

        source.Connect(s_before[what]().Bytes);

        var failure = await Assert.ThrowsAsync<MigrationException>(() => source.Receiving).WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.NotEqual(FailureReason.OutcomeUnknown, failure.Reason);
        Assert.DoesNotContain("load", source.Guest.Calls);
        Assert.DoesNotContain("start", source.Guest.Calls);
    }

    [Theory]
    [MemberData(nameof(After))]
    public async Task When_the_guest_runs_here_it_is_a_pause_and_nothing_is_lost(string what)
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();

        main.Send(s_after[what](source));

        await source.PausedAsync(1);
        Assert.DoesNotContain("abandon", source.Guest.Calls);
        Assert.False(source.Receiving.IsCompleted);
    }

    [Theory]
    [MemberData(nameof(After))]
    public async Task While_the_devices_are_loaded_it_ends_the_migration(string what)
    {
        // The devices need a page that never comes: whoever waits for it must be let go.
        await using var source = new ScriptedSource(onLoad: static memory => ForeignTouch.Read(memory.Blocks[0], 3));
        var main = source.Connect(ScriptedSource.Switched().Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WritePong(bytes, 1));
        await ScriptedSource.ExpectRequestAsync(main, 3);

        main.Send(s_after[what](source));

        await Assert.ThrowsAsync<MigrationException>(() => source.Receiving).WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.Equal(["create", "load", "abandon"], source.Guest.Calls);
        var (_, said) = await main.ReadToEndAsync(Token);
        Assert.Empty(said); // no PONG, no SHUT: the source hears nothing but the end
    }

    [Fact]
    public async Task A_ping_is_answered_beside_the_pages()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();

        main.Send(new RecordedStream().Ping(4).Bytes).Send(source.Part(0, 1, 2, 3)).Send(source.End());

        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WritePong(bytes, 4));
        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task Pages_that_are_left_out_read_as_zero_at_the_end()
    {
        await using var source = new ScriptedSource();
        source.Memory.Blocks[0].Span(2 * TargetPage.Size, TargetPage.Size).Clear();
        var main = await source.SwitchAsync();
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectRequestAsync(main, 2);

        main.Send(source.Part(0, 1, 3)).Send(source.End());

        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        Assert.Equal(new byte[TargetPage.Size], await waiting.WaitAsync(TimeSpan.FromSeconds(60), Token));
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task Urgent_pages_come_on_the_preempt_channel_that_proves_itself_by_the_first_of_them()
    {
        await using var source = new ScriptedSource(preempt: true);
        var preempt = source.Connect(); // early and silent, as from QEMU 7.2
        var main = await source.SwitchAsync();
        var stranger = source.Connect(source.Page(new RecordedStream(), 1).Bytes); // nobody has asked for it
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectRequestAsync(main, 2);

        preempt.Send(source.Page(new RecordedStream(), 2).Bytes);

        await waiting.WaitAsync(TimeSpan.FromSeconds(60), Token);
        Assert.Equal(source.Memory.Blocks[0].Span(2 * TargetPage.Size, TargetPage.Size).ToArray(), await waiting);
        await stranger.ReadToEndAsync(Token); // refused
        main.Send(source.Part(0, 1, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        preempt.Dispose();
        var report = await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        Assert.Single(report.Channels, static channel => channel.Kind == ChannelKind.Preempt);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task What_was_asked_for_is_awaited_on_the_preempt_channel_behind_the_end_of_main()
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = await source.SwitchAsync();
        var preempt = source.Connect();
        var first = source.TouchAsync(1);
        await ScriptedSource.ExpectRequestAsync(main, 1);
        preempt.Send(source.Page(new RecordedStream(), 1).Bytes);
        await first.WaitAsync(TimeSpan.FromSeconds(60), Token);
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectAsync(
            main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, 2 * TargetPage.Size, TargetPage.Size));
        var last = source.TouchAsync(0, "other");
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, "other"u8, 0, TargetPage.Size));
        main.Send(source.Part(0, 3)).Send(source.End());
        await last.WaitAsync(TimeSpan.FromSeconds(60), Token); // the end of the stream is right after it
        Assert.False(waiting.IsCompleted);
        Assert.False(source.Receiving.IsCompleted);

        preempt.Send(source.Page(new RecordedStream(), 2).Bytes);

        await ScriptedSource.ExpectShutAsync(main);
        await waiting.WaitAsync(TimeSpan.FromSeconds(60), Token);
        Assert.Equal(source.Memory.Blocks[0].Span(2 * TargetPage.Size, TargetPage.Size).ToArray(), await waiting);
        main.Dispose();
        preempt.Dispose();
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        source.Guest.AssertWhole();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_preempt_channel_that_ends_before_the_end_of_main_is_a_lost_link(bool reset)
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = await source.SwitchAsync();
        var preempt = source.Connect();
        var first = source.TouchAsync(1);
        await ScriptedSource.ExpectRequestAsync(main, 1);
        preempt.Send(source.Page(new RecordedStream(), 1).Bytes);
        await first.WaitAsync(TimeSpan.FromSeconds(60), Token);

        if (reset)
        {
            preempt.Reset();
        }
        else
        {
            preempt.Finish();
        }

        await source.PausedAsync(1);
        await main.ReadToEndAsync(Token);
    }
}
