using System.Net.Sockets;
using DataPlane.Tests.Admission;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// Who says that it is the source, come again: before the loss of the link has been noticed here, when nothing is lost at all, and beside
/// others who say the same.
/// </summary>
public sealed class EarlyRecoveryTests
{
    private const int LevelTcp = 6;
    private const int TcpRepair = 19;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_source_that_is_back_before_its_loss_is_noticed_goes_on_once_it_is()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        await source.TouchAsync(0);

        var again = source.Connect(ScriptedSource.Questions());
        await HeldAsync(source, 1);
        Assert.Empty(source.Guest.Pauses);
        main.Reset();

        await ResumedAsync(source, again);
        Assert.Single(source.Guest.Pauses);
    }

    [Fact]
    public async Task A_source_that_vanished_without_a_word_is_missed_when_it_comes_again()
    {
        // Nothing else would ask the kernel for the other end of a link on which nothing is sent.
        await using var source = new ScriptedSource(new MigrationDestinationOptions
        {
            Postcopy = true,
            Sockets = new() { KeepAliveTime = null },
        });
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        await source.TouchAsync(0);
        Vanish(main);

        var again = source.Connect(ScriptedSource.Questions());

        await ResumedAsync(source, again);
        Assert.Single(source.Guest.Pauses);
    }

    [Fact]
    public async Task A_word_alone_pauses_nothing()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        await source.TouchAsync(0);

        var liar = source.Connect(ScriptedSource.Questions());
        await HeldAsync(source, 1);
        source.ConnectFrom("127.0.0.66", ScriptedSource.Questions());
        await Eventually.TrueAsync(() => source.Destination.Refused[RefusalReason.Unexpected] == 1, "the other address is refused", Token);

        main.Send(source.Part(1, 2, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.Empty(source.Guest.Pauses);
        source.Guest.AssertWhole();
        await source.Destination.DisposeAsync();
        Assert.Empty((await EndAsync(liar)).Bytes);
    }

    [Fact]
    public async Task Whoever_began_to_recover_first_and_says_no_more_holds_nobody_up()
    {
        await using var source = new ScriptedSource();
        var main = await source.SwitchAsync();
        main.Send(source.Part(0));
        await source.TouchAsync(0);
        var lurker = source.Connect(Opening.Recovery);
        await HeldAsync(source, 1);
        main.Reset();
        await source.PausedAsync(1);
        var stranger = source.ConnectFrom("127.0.0.66", Opening.Recovery);
        await ScriptedSource.ExpectBitmapAsync(stranger, RecordedStream.Block, 0b0001);
        await ScriptedSource.ExpectBitmapAsync(lurker, RecordedStream.Block, 0b0001);

        await ResumedAsync(source, source.Connect(ScriptedSource.Questions()));

        Assert.Equal(PeerEnd.Reset, (await EndAsync(stranger)).End);
        Assert.Equal(PeerEnd.Reset, (await EndAsync(lurker)).End);
    }

    [Fact]
    public async Task Any_number_may_begin_and_the_last_is_heard_all_the_same()
    {
        await using var source = new ScriptedSource();
        await source.LoseLinkAsync();
        for (var i = 0; i < 40; i++)
        {
            source.Connect(Opening.Recovery);
        }

        await ResumedAsync(source, source.Connect(ScriptedSource.Questions()));
    }

    [Fact]
    public async Task A_stranger_without_a_word_does_not_make_it_wait_for_pages_that_nobody_can_bring()
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = source.Connect(ScriptedSource.Switched(PostcopyPackage.LoadedPing).Bytes);
        await ScriptedSource.ExpectPongsAsync(main, 1, 0x42);
        var stranger = source.Connect();
        source.ConnectFrom("127.0.0.66");
        await Eventually.TrueAsync(() => source.Destination.Undecided.Count == 2, "both are there", Token);
        var zero = source.TouchAsync(2);
        await ScriptedSource.ExpectRequestAsync(main, 2);
        main.Send(source.Part(0, 1, 3)).Send(source.End()); // page 2 is left out, as a source may do with zeros that has no preempt channel
        await Task.WhenAny(source.Receiving, Eventually.TrueAsync(() => false, "", new CancellationTokenSource(200).Token));
        Assert.False(source.Receiving.IsCompleted); // it could be the preempt channel

        stranger.Dispose();

        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        await source.Receiving.WaitAsync(TimeSpan.FromSeconds(30), Token);
        Assert.Equal(new byte[4096], await zero);
    }

    [Fact]
    public async Task A_lone_end_takes_nobodys_place()
    {
        await using var source = new ScriptedSource(preempt: true);
        var main = await source.SwitchAsync();
        var liar = source.Connect(Opening.End);
        await HeldAsync(source, 1);
        var waiting = source.TouchAsync(2);
        await ScriptedSource.ExpectRequestAsync(main, 2);

        var preempt = source.Connect(source.Page(new RecordedStream(), 2).Bytes);

        Assert.Equal(source.Memory.Blocks[0].Span(2 * 4096, 4096).ToArray(), await waiting);
        main.Send(source.Part(0, 1, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);
        preempt.Dispose();
        main.Dispose();
        Assert.Contains(
            (await source.Receiving.WaitAsync(TimeSpan.FromSeconds(30), Token)).Channels,
            static channel => channel.Kind == ChannelKind.Preempt);
        Assert.Empty(source.Guest.Pauses);
        source.Guest.AssertWhole();
        liar.Dispose();
    }

    private static Task<(PeerEnd End, byte[] Bytes)> EndAsync(ScriptedPeer peer) =>
        peer.ReadToEndAsync(Token).WaitAsync(TimeSpan.FromSeconds(60), Token);

    private static Task HeldAsync(ScriptedSource source, int count) => Eventually.TrueAsync(
        () => source.Destination.Undecided.Count(static one => one.State == UndecidedState.Held) == count, $"{count} held", Token);

    /// <summary>The rest of a migration of which page 0 is here and which this connection goes on with.</summary>
    private static async Task ResumedAsync(ScriptedSource source, ScriptedPeer main)
    {
        await ScriptedSource.ExpectBitmapAsync(main, RecordedStream.Block, 0b0001);
        await ScriptedSource.ExpectBitmapAsync(main, "other", 0);
        main.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteResumeAck(bytes));
        main.Send(source.Part(1, 2, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);
        main.Dispose();
        Assert.Equal(1, (await source.Receiving.WaitAsync(TimeSpan.FromSeconds(30), Token)).Postcopy!.Recoveries);
        source.Guest.AssertWhole();
    }

    /// <summary>The kernel forgets the connection: no FIN, no RST. Skips where this user may not have that done.</summary>
    private static void Vanish(ScriptedPeer peer)
    {
        try
        {
            peer.Socket.SetRawSocketOption(LevelTcp, TcpRepair, BitConverter.GetBytes(1));
        }
        catch (SocketException refused)
        {
            Assert.Skip($"TCP_REPAIR: {refused.Message}");
        }

        peer.Dispose();
    }
}
