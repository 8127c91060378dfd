using DataPlane.Tests.Postcopy;
using DataPlane.Tests.Tool.Guard;
using DataPlane.TestSupport;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Tool.Receive;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A <c>receive --postcopy</c> that has failed, and a source that stands still because of it.</summary>
public sealed class StrandedSourceTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly GuardTestFolder _folder = new();
    private readonly FakeTimeProvider _time = new();
    private readonly StringWriter _written = new();
    private readonly TextWriter _error;

    public StrandedSourceTests() => _error = TextWriter.Synchronized(_written);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_limit_of_the_pause_in_which_it_failed_does_not_end_the_wait_for_the_source()
    {
        await using var source = new ScriptedSource();
        await using var receive = Open(source, Token);
        var failure = await PauseAsync(source, receive);
        _time.Advance(TimeSpan.FromMinutes(4));
        var returning = receive.StrandedBy(failure)!.ReturnGuestAsync(failure);

        _time.Advance(TimeSpan.FromMinutes(2));
        receive.Controlled.Report(Paused()); // a report that was under way when it failed

        Assert.False(receive.HasGivenUp);
        await GuestReturnTests.TakeBackAsync(source);
        Assert.True(await returning.WaitAsync(s_patience, Token));
        Assert.Contains("the source at 127.0.0.1:", Said(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Somebody_from_elsewhere_is_warned_of_and_does_not_end_the_wait()
    {
        await using var source = new ScriptedSource();
        await using var receive = Open(source, Token);
        var failure = await PauseAsync(source, receive);
        var returning = receive.StrandedBy(failure)!.ReturnGuestAsync(failure);

        await GuestReturnTests.TakeBackAsync(source, from: "127.0.0.2");
        await Eventually.TrueAsync(
            () => Said().Contains("warning: 127.0.0.2:", StringComparison.Ordinal), "it is warned of while the wait goes on", Token);
        await GuestReturnTests.TakeBackAsync(source);

        Assert.True(await returning.WaitAsync(s_patience, Token));
        var words = Said().Split('\n');
        Assert.Single(words, static line => line.StartsWith("warning: 127.0.0.2:", StringComparison.Ordinal));
        Assert.Single(words, static line => line.StartsWith("the source at 127.0.0.1:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_pause_that_lasted_too_long_leaves_nobody_to_wait_for()
    {
        await using var source = new ScriptedSource();
        await using var receive = Open(source, Token);
        var failure = await PauseAsync(source, receive);

        _time.Advance(TimeSpan.FromMinutes(5));

        await Eventually.TrueAsync(() => receive.HasGivenUp, "the limit of the pause ends it", Token);
        Assert.Null(receive.StrandedBy(failure));
    }

    [Theory]
    [InlineData(true, false, "before it has come again and sent the rest; a second Ctrl-C ends this at once")]
    [InlineData(false, false, "before it has sent the rest; a second Ctrl-C ends this at once")]
    [InlineData(true, true, "nobody will come, so end this with a second Ctrl-C")]
    public async Task A_stop_that_has_to_wait_says_what_for(bool isPaused, bool isUnknown, string said)
    {
        await using var source = new ScriptedSource();
        using var stop = new CancellationTokenSource();
        await using var receive = Open(source, stop.Token);
        receive.Controlled.Report(Paused() with { IsPaused = isPaused, OwnershipUnknown = isUnknown });

        await stop.CancelAsync();
        Assert.DoesNotContain("told to stop", Said(), StringComparison.Ordinal);
        _time.Advance(TimeSpan.FromSeconds(2));

        await Eventually.TrueAsync(() => Said().Contains("told to stop", StringComparison.Ordinal), "it is said", Token);
        Assert.Contains(said, Said(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(MigrationPhase.Precopy, false)]
    [InlineData(MigrationPhase.Postcopy, true)]
    public async Task A_stop_that_ends_the_migration_needs_no_words(MigrationPhase phase, bool hasFailed)
    {
        await using var source = new ScriptedSource();
        using var stop = new CancellationTokenSource();
        await using var receive = Open(source, stop.Token);
        receive.Controlled.Report(Paused() with { Phase = phase });

        await stop.CancelAsync();
        if (hasFailed)
        {
            Assert.Null(receive.StrandedBy(new OperationCanceledException()));
        }

        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.DoesNotContain("told to stop", Said(), StringComparison.Ordinal);
    }

    private static MigrationProgress Paused() => new()
    {
        Phase = MigrationPhase.Postcopy,
        TransferredBytes = 0,
        NormalPages = 0,
        ZeroPages = 0,
        IsPaused = true,
        PauseReason = "the link is lost",
    };

    /// <summary>The source is lost before the guest has started here, and a pause has begun.</summary>
    private static async Task<MigrationException> PauseAsync(ScriptedSource source, ReceivePostcopy receive)
    {
        var failure = await GuestReturnTests.LoseAsync(source, ScriptedSource.Advised(machine: "pc-q35-7.2").Bytes);
        receive.Controlled.Report(Paused());
        return failure;
    }

    /// <summary>The text so far. A synchronized writer locks itself, and others may still write.</summary>
    private string Said()
    {
        lock (_error)
        {
            return _written.ToString();
        }
    }

    private ReceivePostcopy Open(ScriptedSource source, CancellationToken stop)
    {
        var console = new ToolConsole { Out = TextWriter.Null, Error = _error, Time = _time };
        var context = new CommandContext(
            console, new OutputSettings(), new SilentDisplay(_error), NullLoggerFactory.Instance, stop);
        return new ReceivePostcopy(source.Destination, "vm", Path.Combine(_folder.Path, "control"), TimeSpan.FromMinutes(5), context);
    }
}
