using DataPlane.Linux;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A destination whose guest runs loses its source, and gets it back.</summary>
public sealed class PostcopyRecoveryTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lost_link_is_a_pause_and_the_rest_comes_over_a_new_one()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        Assert.Equal(source.Memory.Blocks[0].Span(0, 4096).ToArray(), await source.TouchAsync(0));
        main.Reset();
        await source.PausedAsync(1);
        var waiting = source.TouchAsync(2);

        await ResumeAsync(source, received: 0b0001, waitingFor: 2);

        Assert.Equal(source.Memory.Blocks[0].Span(2 * 4096, 4096).ToArray(), await waiting);
        var report = await source.Receiving;
        Assert.Equal(1, report.Postcopy!.Recoveries);
        Assert.Equal(["create", "load", "start", "resume", "complete"], source.Guest.Calls);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task A_recovery_may_fail_again_and_again()
    {
        await using var source = new ScriptedSource();
        await source.LoseLinkAsync();
        var waiting = source.TouchAsync(2);

        var second = source.Connect(ScriptedSource.Questions());
        await ScriptedSource.ExpectBitmapAsync(second, RecordedStream.Block, 0b0001);
        second.Reset(); // in the middle of the handshake
        await source.PausedAsync(2);
        var third = source.Connect(ScriptedSource.Questions());
        third.Send(source.Part(1)); // a page before RESUME: the destination breaks it off
        await source.PausedAsync(3);

        await ResumeAsync(source, received: 0b0001, waitingFor: 2);

        await waiting;
        Assert.Equal(1, (await source.Receiving).Postcopy!.Recoveries);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task The_host_may_pause_too()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        await source.TouchAsync(0);

        source.Destination.Pause();

        await source.PausedAsync(1);
        await main.ReadToEndAsync(Token);
        var waiting = source.TouchAsync(2);
        await ResumeAsync(source, received: 0b0001, waitingFor: 2);
        await waiting;
        await source.Receiving;
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task Pages_on_main_do_not_prove_that_the_source_has_heard_but_a_recovery_does()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        var waiting = source.TouchAsync(0);
        await ScriptedSource.ExpectRequestAsync(main, 0);
        main.Send(source.Part(0)); // the background brings what is asked for, too
        await waiting;
        main.Reset();
        await source.PausedAsync(1);
        Assert.True(source.Guest.Pauses.Single().OwnershipUnknown);
        Assert.Equal(GuestOwner.Unknown, ((MigrationException)source.Guest.Pauses.Single().Cause).Owner);

        var again = await HandshakeAsync(source, 0b0001);
        again.Reset();

        await source.PausedAsync(2);
        Assert.False(source.Guest.Pauses.Last().OwnershipUnknown);
        Assert.Equal(GuestOwner.Destination, ((MigrationException)source.Guest.Pauses.Last().Cause).Owner);
    }

    [Fact]
    public async Task An_answer_on_the_preempt_channel_proves_that_the_source_has_heard()
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = await source.SwitchAsync();
        var preempt = source.Connect();
        var waiting = source.TouchAsync(0);
        await ScriptedSource.ExpectRequestAsync(main, 0);
        preempt.Send(source.Page(new RecordedStream(), 0).Bytes);
        await waiting;

        main.Reset();

        await source.PausedAsync(1);
        Assert.False(source.Guest.Pauses.Single().OwnershipUnknown);
    }

    [Fact]
    public async Task An_answer_to_what_was_asked_for_before_proves_nothing()
    {
        await using var source = new ScriptedSource(preempt: true, onLoad: static memory => ForeignTouch.Read(memory.Blocks[0], 3));
        var main = source.Connect(ScriptedSource.Switched().Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WritePong(bytes, 1));
        await ScriptedSource.ExpectRequestAsync(main, 3);
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectAsync(
            main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, 2 * TargetPage.Size, TargetPage.Size));
        main.Send(source.Part(3));
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WritePong(bytes, 3));
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WritePong(bytes, 0x42));
        await Eventually.TrueAsync(() => source.Guest.Has("start"), "it starts", Token);
        source.Connect(source.Page(new RecordedStream(), 2).Bytes);
        await waiting;

        main.Reset();

        await source.PausedAsync(1);
        Assert.True(source.Guest.Pauses.Single().OwnershipUnknown);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_is_lost_with_the_preempt_channel_at_the_end_comes_again_from_one_of_ours(bool wasProved)
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = await source.SwitchAsync(PostcopyPackage.PreemptPing, PostcopyPackage.LoadedPing);
        var preempt = source.Connect();
        var first = source.TouchAsync(1);
        await ScriptedSource.ExpectRequestAsync(main, 1);
        if (wasProved)
        {
            preempt.Send(source.Page(new RecordedStream(), 1).Bytes);
            await first;
        }

        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectAsync(
            main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, 2 * TargetPage.Size, TargetPage.Size));
        preempt.Send([0x00]); // the page that was asked for has left, but only this much of it arrives
        main.Send(wasProved ? source.Part(0, 3) : source.Part(0, 1, 3)).Send(source.End());
        await first;
        await source.HasArrivedAsync("other", 0); // the last of them: what main has brought is not lost with preempt

        preempt.Reset();

        await source.PausedAsync(1);
        Assert.False(waiting.IsCompleted);
        Assert.False(source.Guest.Pauses.Single().OwnershipUnknown);
        await main.ReadToEndAsync(Token); // the source hears of it
        var again = await HandshakeAsync(source, received: 0b1011, other: 1);
        await ScriptedSource.ExpectRequestAsync(again, 2);
        again.Send(source.Part(2)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(again);
        again.Dispose();
        Assert.Equal(source.Memory.Blocks[0].Span(2 * 4096, 4096).ToArray(), await waiting);
        await source.Receiving;
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task A_source_that_goes_without_a_byte_may_not_have_heard_that_the_guest_runs_here()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();

        main.Reset();

        await source.PausedAsync(1);
        Assert.True(source.Guest.Pauses.Single().OwnershipUnknown);
    }

    [Fact]
    public async Task A_page_that_came_before_and_comes_again_after_a_recovery_stays_as_it_is()
    {
        await using var source = new ScriptedSource();
        await source.LoseLinkAsync();
        var again = await HandshakeAsync(source, 0b0001);

        again.Send(source.Part(0, 1, 2, 3)).Send(source.End());

        await ScriptedSource.ExpectShutAsync(again);
        again.Dispose();
        await source.Receiving;
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task A_host_that_fails_when_it_is_told_of_a_pause_or_its_end_changes_nothing()
    {
        await using var source = new ScriptedSource();
        source.Guest.WhenPaused = static () => throw new InvalidOperationException("the host's own trouble");
        source.Guest.WhenResumed = static () => throw new InvalidOperationException("the host's own trouble");
        await source.LoseLinkAsync();
        var waiting = source.TouchAsync(2);

        await ResumeAsync(source, received: 1, waitingFor: 2);

        await waiting;
        var report = await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        Assert.Equal(1, report.Postcopy!.Recoveries);
        Assert.Single(source.Guest.Pauses); // the new link was not broken for it
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task A_host_that_fails_when_it_is_told_of_lost_pages_does_not_end_the_wait_for_them()
    {
        await using var source = new ScriptedSource(preempt: true);
        source.Guest.WhenPaused = static () => throw new InvalidOperationException("the host's own trouble");
        var main = await source.SwitchAsync(); // a QEMU: it has ended, and waits for SHUT
        var preempt = source.Connect();
        var first = source.TouchAsync(1);
        await ScriptedSource.ExpectRequestAsync(main, 1);
        preempt.Send(source.Page(new RecordedStream(), 1).Bytes);
        await first;
        // A system call, because the page is poisoned in the end: a plain touch would be SIGBUS then.
        using var file = LinuxFile.CreateInMemory("probe", TargetPage.Size);
        Assert.True(source.Guest.Memory.TryGetBlock(RecordedStream.Block, out var block));
        var waiting = Task.Factory.StartNew(
            () => ForeignTouch.Write(file, block, 2), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await ScriptedSource.ExpectAsync(
            main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, 2 * TargetPage.Size, TargetPage.Size));
        main.Send(source.Part(0, 3)).Send(source.End());
        await source.HasArrivedAsync("other", 0);

        preempt.Reset();
        await source.PausedAsync(1);

        await source.Destination.DisposeAsync(); // until then the source is waited for
        var failure = await Assert.ThrowsAsync<MigrationException>(() => source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token));
        Assert.Equal(FailureReason.GuestAtDestination, failure.Reason);
        Assert.Equal(-Errno.EFAULT, await waiting.WaitAsync(TimeSpan.FromSeconds(60), Token));
    }

    [Fact]
    public async Task The_host_may_give_up_the_link_of_a_QEMU_that_has_lost_pages_with_its_preempt_channel()
    {
        var progress = new LastProgress();
        await using var source = new ScriptedSource(
            new MigrationDestinationOptions { Postcopy = true, Preempt = true }, progress: progress);
        var main = await source.SwitchAsync();
        var preempt = source.Connect();
        var first = source.TouchAsync(1);
        await ScriptedSource.ExpectRequestAsync(main, 1);
        preempt.Send(source.Page(new RecordedStream(), 1).Bytes);
        await first;
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectAsync(
            main, static bytes => ReturnPathWriter.WriteRequestPages(bytes, 2 * TargetPage.Size, TargetPage.Size));
        main.Send(source.Part(0, 3)).Send(source.End());
        await source.HasArrivedAsync("other", 0);
        preempt.Reset();
        await source.PausedAsync(1);

        await Eventually.TrueAsync(
            () =>
            {
                source.Destination.Pause();
                return progress.Last is { IsPaused: true };
            },
            "the link is given up", Token);
        await main.ReadToEndAsync(Token);
        var again = await HandshakeAsync(source, received: 0b1011, other: 1);
        await ScriptedSource.ExpectRequestAsync(again, 2);
        again.Send(source.Part(2)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(again);
        again.Dispose();
        Assert.Equal(source.Memory.Blocks[0].Span(2 * 4096, 4096).ToArray(), await waiting);
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), Token);
        source.Guest.AssertWhole();
    }

    [Fact]
    public async Task A_guest_is_given_up_on_kernels_that_cannot_poison()
    {
        await using var source = new ScriptedSource(
            new MigrationDestinationOptions { Postcopy = true, KernelFeatures = UserfaultFeatures.None });
        await source.LoseLinkAsync();
        await source.Destination.DisposeAsync();
        var failure = await Assert.ThrowsAsync<MigrationException>(
            () => source.Receiving.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken));
        Assert.Equal(FailureReason.GuestAtDestination, failure.Reason);
    }

    private static async Task<ScriptedPeer> HandshakeAsync(ScriptedSource source, ulong received, ulong other = 0)
    {
        var main = source.Connect(ScriptedSource.Questions());
        await ScriptedSource.ExpectBitmapAsync(main, RecordedStream.Block, received);
        await ScriptedSource.ExpectBitmapAsync(main, "other", other);
        main.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteResumeAck(bytes));
        return main;
    }

    /// <summary>The whole handshake, the request that is still open, and everything that is missing.</summary>
    private static async Task ResumeAsync(ScriptedSource source, ulong received, long waitingFor)
    {
        var main = await HandshakeAsync(source, received);
        await ScriptedSource.ExpectRequestAsync(main, waitingFor);
        main.Send(source.Part(1, 2, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
    }
}
