using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// A source has switched into its own socket buffer and paused, and its guest never started at the destination: the destination gives it
/// back (specification, 4-postcopy section 4.8.4).
/// </summary>
public sealed class GuestReturnTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static readonly Dictionary<string, Func<RecordedStream>> s_phases = new()
    {
        ["advised"] = static () => Advised(),
        ["pages"] = static () => Advised().Begin(SectionType.Part),
        ["discarding"] = static () => Discarding(),
        ["in the package"] = static () => Discarding().Command(CommandType.Packaged, 0, 0, 0, 5).Raw(8),
    };

    public static TheoryData<string> Phases => new(s_phases.Keys);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Phases))]
    public async Task A_paused_source_gets_its_guest_back(string phase)
    {
        await using var source = new ScriptedSource();
        await LoseAsync(source, s_phases[phase]().Bytes);
        Assert.True(source.Destination.MayReturnGuest);
        var returning = source.Destination.ReturnGuestAsync(cancellationToken: Token);

        await TakeBackAsync(source);

        Assert.StartsWith("127.0.0.1:", await returning.WaitAsync(s_patience, Token), StringComparison.Ordinal);
        Assert.False(source.Destination.MayReturnGuest);
        Assert.DoesNotContain("start", source.Guest.Calls);
    }

    [Fact]
    public async Task It_comes_after_strangers_and_broken_attempts()
    {
        await using var source = new ScriptedSource();
        await LoseAsync(source, Advised().Bytes);
        var returning = source.Destination.ReturnGuestAsync(cancellationToken: Token);
        source.Connect(ScriptedSource.Questions()); // stays, and says no more
        var broken = source.Connect(ScriptedSource.Questions());
        await ExpectBitmapsAsync(broken);
        broken.Reset();
        var liar = source.Connect(ScriptedSource.Questions());
        await ExpectBitmapsAsync(liar);
        liar.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes).Send(source.Part(0));
        await ScriptedSource.ExpectAsync(liar, static bytes => ReturnPathWriter.WriteResumeAck(bytes));
        await liar.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
        Assert.False(returning.IsCompleted);

        await TakeBackAsync(source);

        await returning.WaitAsync(s_patience, Token);
    }

    /// <summary>
    /// Anybody may speak a recovery to its end: who comes from elsewhere may be a stranger, and the source would be left alone.
    /// </summary>
    [Fact]
    public async Task One_that_comes_from_elsewhere_is_told_of_and_the_source_is_waited_for()
    {
        await using var source = new ScriptedSource();
        await LoseAsync(source, Advised().Bytes);
        var others = new Addresses();
        var returning = source.Destination.ReturnGuestAsync(others, Token);

        for (var times = 1; times <= 2; times++)
        {
            await TakeBackAsync(source, from: "127.0.0.2");
        }

        await TakeBackAsync(source, from: "127.0.0.3");
        await Eventually.TrueAsync(() => others.Count == 2, "both are told of", Token);
        Assert.False(returning.IsCompleted);
        await TakeBackAsync(source);

        Assert.StartsWith("127.0.0.1:", await returning.WaitAsync(s_patience, Token), StringComparison.Ordinal);
        Assert.Equal(["127.0.0.2", "127.0.0.3"], others.Select(static peer => peer[..peer.LastIndexOf(':')]));
    }

    [Fact]
    public async Task A_wait_that_was_cancelled_may_begin_again()
    {
        await using var source = new ScriptedSource();
        await LoseAsync(source, Advised().Bytes);
        using var enough = new CancellationTokenSource();
        var first = source.Destination.ReturnGuestAsync(cancellationToken: enough.Token);
        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(s_patience, Token));

        var returning = source.Destination.ReturnGuestAsync(cancellationToken: Token);
        await TakeBackAsync(source);

        await returning.WaitAsync(s_patience, Token);
    }

    [Theory]
    [InlineData("pc-q35-10.1", true)]
    [InlineData("pc-q35-rhel9.4.0", true)]
    [InlineData("pc-q35-10.2", false)]
    [InlineData("pc-i440fx-11.1+pve1", false)]
    public async Task A_source_of_a_machine_type_from_10_2_on_takes_its_guest_back_by_itself(string machine, bool mayStandStill)
    {
        await using var source = new ScriptedSource();

        await LoseAsync(source, Advised(machine).Bytes);

        Assert.Equal(mayStandStill, source.Destination.MayReturnGuest);
    }

    /// <summary>
    /// SHUT 1 would end what an older source listens with: one that has switched in its own socket buffers could get nothing back then.
    /// </summary>
    [Theory]
    [InlineData("pc-q35-7.2", false)]
    [InlineData("pc-q35-8.1", false)]
    [InlineData("pc-q35-noble", false)]
    [InlineData("pc-q35-8.2", true)]
    [InlineData("pc-q35-11.1", true)]
    public async Task A_source_that_would_never_listen_again_is_told_nothing(string machine, bool isTold)
    {
        await using var source = new ScriptedSource();

        var main = source.Connect(Advised(machine).Raw(0x55).Bytes);

        var (_, said) = await main.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
        Assert.Equal(isTold, said.AsSpan().EndsWith((ReadOnlySpan<byte>)[0, 1, 0, 4, 0, 0, 0, 1]));
        await Assert.ThrowsAsync<MigrationException>(() => source.Receiving).WaitAsync(s_patience, Token);
    }

    [Fact]
    public async Task Without_advice_nobody_can_have_paused()
    {
        await using var source = new ScriptedSource();

        await LoseAsync(source, new RecordedStream().Header().Command(CommandType.OpenReturnPath).Ping(1).Start().Bytes);

        Assert.False(source.Destination.MayReturnGuest);
        await Assert.ThrowsAsync<InvalidOperationException>(() => source.Destination.ReturnGuestAsync(cancellationToken: Token));
    }

    /// <summary>Its machine type does not say whether it takes its guest back by itself, only its package would.</summary>
    private static RecordedStream Advised(string machine = "pc-q35-7.2") => ScriptedSource.Advised(machine: machine);

    private static RecordedStream Discarding() => ScriptedSource.Discard(Advised(), "other", 0, 1);

    internal static async Task<MigrationException> LoseAsync(ScriptedSource source, byte[] stream)
    {
        var main = source.Connect(stream);
        await Eventually.TrueAsync(() => source.Guest.Has("create"), "the blocks are known", Token);
        main.Finish();
        return await Assert.ThrowsAsync<MigrationException>(() => source.Receiving).WaitAsync(s_patience, Token);
    }

    private static async Task ExpectBitmapsAsync(ScriptedPeer main)
    {
        await ScriptedSource.ExpectBitmapAsync(main, RecordedStream.Block, (1UL << RecordedStream.Pages) - 1);
        await ScriptedSource.ExpectBitmapAsync(main, "other", 1);
    }

    /// <summary>What a QEMU says that is told to go on when nothing is left to send.</summary>
    internal static async Task TakeBackAsync(ScriptedSource source, string from = "127.0.0.1")
    {
        var main = source.ConnectFrom(from, ScriptedSource.Questions());
        await ExpectBitmapsAsync(main);
        main.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteResumeAck(bytes));
        main.Send(new RecordedStream().Begin(SectionType.Part).EndSection().Begin(SectionType.End).EndSection().Raw(0).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteShut(bytes, 1));
        main.Dispose();
    }

    private sealed class Addresses : System.Collections.Concurrent.ConcurrentQueue<string>, IProgress<string>
    {
        public void Report(string value) => Enqueue(value);
    }
}
