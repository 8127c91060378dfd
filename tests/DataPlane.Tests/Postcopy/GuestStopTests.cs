using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>When a destination takes its guest for stopped at the source.</summary>
public sealed class GuestStopTests
{
    private const uint AnyPing = 7;

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(AnyPing, MigrationPhase.Switchover, 6)] // a QEMU stops its guest before it discards anything
    [InlineData(PostcopyDiscard.AheadPing, MigrationPhase.Precopy, 1)] // one of ours when the next PING has been answered
    public async Task Downtime_and_switchover_begin_when_the_source_stops_its_guest(uint ping, MigrationPhase whileDiscarding, int downtime)
    {
        var time = new FakeTimeProvider();
        var progress = new LastProgress();
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { Postcopy = true }, timeProvider: time);
        var receiving = destination.ReceiveAsync(progress, Token);
        using var main = ScriptedPeer.Connect(destination.LocalAddresses[0]);

        main.Send(ScriptedSource.Discard(
            ScriptedSource.Advised().Ping(ping), RecordedStream.Block, 0, RecordedStream.Pages).Ping(ping).Bytes);
        await ScriptedSource.ExpectPongsAsync(main, 1, ping, ping);
        Assert.Equal(whileDiscarding, progress.Last!.Phase);
        time.Advance(TimeSpan.FromSeconds(5));
        main.Send(new RecordedStream().Ping(2).Bytes);
        await ScriptedSource.ExpectPongsAsync(main, 2);
        Assert.Equal(MigrationPhase.Switchover, progress.Last.Phase);
        time.Advance(TimeSpan.FromSeconds(1));
        main.Send(ScriptedSource.Package(
            ScriptedSource.Discard(new RecordedStream(), "other", 0, 1), PostcopyPackage.LoadedPing).Bytes);
        await ScriptedSource.ExpectPongsAsync(main, PostcopyPackage.LoadedPing);
        main.Send(Memory()).Finish();

        await main.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
        var report = await receiving.WaitAsync(s_patience, Token);
        Assert.Equal(TimeSpan.FromSeconds(downtime), report.Downtime);
    }

    /// <summary>All pages and the end of the stream.</summary>
    private static byte[] Memory()
    {
        var content = RecordedStream.PageContent(1);
        var stream = new RecordedStream().Begin(SectionType.Part);
        for (var page = 0; page < RecordedStream.Pages; page++)
        {
            stream.Page(page, content);
        }

        return stream.EndSection().Begin(SectionType.End).Page(0, content, "other").EndSection().Raw(0).Bytes;
    }
}
