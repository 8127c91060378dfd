using System.Net.Sockets;
using DataPlane.Tests.Admission;
using DataPlane.Tests.MainStream;
using DataPlane.Tests.Migration;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// A postcopy with multifd and a preempt channel that is paused once and recovered, to a destination whose port strangers find at every
/// moment, from the source's own address and from another. The guest starts once, is never paused by them, and finds all of its memory.
/// </summary>
public sealed class HostilePostcopyTests
{
    private const string Elsewhere = "127.0.0.66";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    public static TheoryData<string, StrangerMoment> Cases => new(
        from kind in PostcopyStrangers.All
        from moment in Enum.GetValues<StrangerMoment>()
        where !(kind.Value.IsLate && moment == StrangerMoment.BeforeMain) // it would be that channel
        select new TheoryDataRow<string, StrangerMoment>(kind.Key, moment));

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Whoever_comes_whenever_the_guest_arrives(string kind, StrangerMoment moment) =>
        MoveAsync([PostcopyStrangers.All[kind]], [moment]);

    [Fact]
    public Task The_guest_arrives_with_all_of_them_about_all_the_time() =>
        MoveAsync([.. PostcopyStrangers.All.Values], Enum.GetValues<StrangerMoment>());

    private static async Task MoveAsync(PostcopyStranger[] kinds, StrangerMoment[] moments)
    {
        using var mayLoad = new ManualResetEventSlim();
        var loading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        List<ScriptedPeer> honest = [];
        List<(PostcopyStranger Kind, ScriptedPeer Peer)> strangers = [];
        await using var source = new ScriptedSource(
            new MigrationDestinationOptions
            {
                MultifdChannels = PostcopyStrangers.Channels,
                Uuid = Opening.Uuid,
                Postcopy = true,
                Preempt = true,
            },
            onLoad: _ =>
            {
                loading.SetResult();
                mayLoad.Wait(s_patience, Token);
            });

        Knock(StrangerMoment.BeforeMain);
        for (var id = 0; id < PostcopyStrangers.Channels; id++)
        {
            honest.Add(source.Connect([.. Opening.Multifd(id), .. RawSource.Sync()]));
        }

        var main = source.Connect(ScriptedSource.Advised(multifd: true).Bytes);
        await ScriptedSource.ExpectPongsAsync(main, 1);
        await Eventually.TrueAsync(() => source.Destination.Admitted == 1 + PostcopyStrangers.Channels, "the channels are in", Token);
        Knock(StrangerMoment.Setup);
        main.Send(source.Part(0));
        Knock(StrangerMoment.Precopy);
        var switching = ScriptedSource.Discard(new RecordedStream(), RecordedStream.Block, 1, RecordedStream.Pages - 1);
        main.Send(ScriptedSource.Package(ScriptedSource.Discard(switching, "other", 0, 1)).Bytes);
        await Task.WhenAny(loading.Task, source.Receiving).WaitAsync(s_patience, Token);
        if (source.Receiving.IsCompleted)
        {
            await source.Receiving;
        }

        Knock(StrangerMoment.Package);
        mayLoad.Set();
        await ScriptedSource.ExpectPongsAsync(main, 3, 0x42);

        Knock(StrangerMoment.Running);
        await AnswerOnPreemptAsync(main, 1);
        main.Reset();
        await Eventually.TrueAsync(() => !source.Guest.Pauses.IsEmpty, "a pause", Token);

        Knock(StrangerMoment.Paused);
        main = source.Connect(ScriptedSource.Questions());
        await ScriptedSource.ExpectBitmapAsync(main, RecordedStream.Block, 0b0011);
        await ScriptedSource.ExpectBitmapAsync(main, "other", 0);
        Knock(StrangerMoment.Recovering);
        main.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteResumeAck(bytes));

        // Until then a request may be sent twice, which is legal.
        await Eventually.TrueAsync(() => source.Guest.Calls.Contains("resume"), "the host knows that it goes on", Token);

        await AnswerOnPreemptAsync(main, 2, beforeThat: () =>
        {
            main.Send(source.Part(3)).Send(source.End());
            Knock(StrangerMoment.End);
        });
        await ScriptedSource.ExpectShutAsync(main);
        honest.ForEach(static channel => channel.Dispose());
        main.Dispose();
        var report = await source.Receiving.WaitAsync(s_patience, Token);

        source.Guest.AssertWhole();
        Assert.Equal(1, report.Postcopy!.Recoveries);
        Assert.Equal(["create", "load", "start", "resume", "complete"], source.Guest.Calls);
        if (!kinds.Any(static kind => kind is { Recovers: true, Leaving: not Leaving.Stays }))
        {
            Assert.Single(source.Guest.Pauses); // one that begins to recover and breaks off is another, as far as the host can be told
        }

        await source.Destination.DisposeAsync();
        foreach (var (kind, peer) in strangers)
        {
            Assert.True(kind.Recovers || await HeardNothingAsync(peer), "something was said to a stranger");
        }

        void Knock(StrangerMoment moment)
        {
            if (!moments.Contains(moment))
            {
                return;
            }

            foreach (var kind in kinds.Where(kind => !kind.IsLate || moment != StrangerMoment.BeforeMain))
            {
                Come(kind, source.Connect(kind.Bytes));
                Come(kind, source.ConnectFrom(Elsewhere, kind.Bytes));
            }
        }

        void Come(PostcopyStranger kind, ScriptedPeer peer)
        {
            if (kind.Leaving == Leaving.Resets)
            {
                peer.Reset();
                return;
            }

            if (kind.Leaving == Leaving.Finishes)
            {
                peer.Finish();
            }

            strangers.Add((kind, peer));
        }

        async Task AnswerOnPreemptAsync(ScriptedPeer main, long page, Action? beforeThat = null)
        {
            // A source connects it before it is needed, and says nothing on it until it is.
            var preempt = source.Connect();
            honest.Add(preempt);
            await Eventually.TrueAsync(() => source.Destination.Undecided.Any(
                one => one.Peer == preempt.Socket.LocalEndPoint!.ToString()), "the preempt channel is there", Token);
            var waiting = source.TouchAsync(page);
            await ScriptedSource.ExpectRequestAsync(main, page);
            beforeThat?.Invoke();
            foreach (var (_, peer) in strangers.Where(static stranger => stranger.Kind.IsProvenFalse))
            {
                Assert.True(await HeardNothingAsync(peer), "something was said to a stranger"); // and it has been thrown out
            }

            preempt.Send(source.Page(new RecordedStream(), page).Bytes);
            Assert.Equal(source.Memory.Blocks[0].Span((int)page * 4096, 4096).ToArray(), await waiting.WaitAsync(s_patience, Token));
        }
    }

    /// <summary>To its end, which must come.</summary>
    private static async Task<bool> HeardNothingAsync(ScriptedPeer peer)
    {
        try
        {
            return (await peer.ReadToEndAsync(Token).WaitAsync(s_patience, Token)).Bytes.Length == 0;
        }
        catch (SocketException)
        {
            return true; // its end was heard before
        }
    }
}
