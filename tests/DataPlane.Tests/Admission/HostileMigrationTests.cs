using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>
/// Whole migrations to a destination whose port strangers find: what freezes or kills a waiting QEMU (specification, 1-channels section
/// 1.3) before the source has come, while it sends, and after everything is there. The guest arrives in every case.
/// </summary>
public sealed class HostileMigrationTests
{
    /// <summary>
    /// What a stranger says, why it is refused (null: it is not, as long as the migration lasts), and whether it may come first.
    /// </summary>
    private sealed record Stranger(
        byte[] Bytes, RefusalReason? Reason, bool MayComeFirst = true, bool Finishes = false, bool Resets = false);

    private static readonly Guid s_uuid = Opening.Uuid;

    private static readonly Dictionary<string, Func<int, Stranger>> s_strangers = new()
    {
        ["silent"] = _ => new([], null),
        ["18 bytes of http"] = _ => new(Opening.Http, RefusalReason.Garbage),
        ["100 bytes of garbage"] = _ => new([.. Enumerable.Repeat((byte)0xA5, 100)], RefusalReason.Garbage),
        ["fin without a byte"] = _ => new([], RefusalReason.Closed, Finishes: true),
        ["reset at once"] = _ => new([], RefusalReason.Closed, Resets: true),
        ["two bytes of a magic"] = _ => new(Opening.Main[..2], null),
        ["20 bytes of an init packet"] = n => new(Opening.Multifd(0)[..20], n == 0 ? RefusalReason.NoMultifd : null),
        ["a second main"] = _ => new(Opening.Main, RefusalReason.SecondMain, MayComeFirst: false),
        ["a main of version 2"] = _ => new(Opening.With(Opening.Main, 7, 2), RefusalReason.Version),
        ["an id that is taken"] = n =>
            new(Opening.Multifd(0), n == 0 ? RefusalReason.NoMultifd : RefusalReason.IdTaken, MayComeFirst: n == 0),
        ["id == N"] = n => new(Opening.Multifd(n), n == 0 ? RefusalReason.NoMultifd : RefusalReason.IdRange),
        ["id 200"] = n => new(Opening.Multifd(200), n == 0 ? RefusalReason.NoMultifd : RefusalReason.IdRange),
        ["another vm"] = n => new(Opening.Multifd(0, Guid.Empty), n == 0 ? RefusalReason.NoMultifd : RefusalReason.Uuid),
        ["a recovery"] = _ => new(Opening.Recovery, RefusalReason.Unexpected),
        ["a page record"] = _ => new(Opening.PageRecord, RefusalReason.Unexpected),
        ["an end of preempt"] = _ => new(Opening.End, RefusalReason.Unexpected),
        ["tls"] = _ => new(Opening.TlsHello, RefusalReason.TlsOnPlain),
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, int> Kinds()
    {
        TheoryData<string, int> all = [];
        foreach (var kind in s_strangers.Keys)
        {
            all.Add(kind, 0);
            all.Add(kind, 2);
        }

        return all;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task The_guest_arrives_whatever_a_stranger_does(string kind, int channels) => MigrateAsync([kind], channels);

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(8)]
    public Task The_guest_arrives_with_all_of_them_about(int channels) => MigrateAsync([.. s_strangers.Keys], channels);

    private static async Task MigrateAsync(string[] kinds, int channels)
    {
        Dictionary<RefusalReason, int> expected = [];
        List<ScriptedPeer> peers = [];
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { MultifdChannels = channels, Uuid = s_uuid });
        var slow = 0;
        var trickle = ScriptedPeer.Connect(destination.LocalAddresses[0]); // a byte now and then, all the time

        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 4 << 20, RamAllocation.Default with { HugePages = false }))
        {
            IsRunning = true,
            Uuid = s_uuid,
            WhileRunning = (guest, round) =>
            {
                KnockAgain();
                guest.Write(guest.Memory.Blocks[0], round, (byte)round);
            },
            OnPaused = _ =>
            {
                KnockAgain();
                return Task.CompletedTask;
            },
        };
        try
        {
            Knock(first: true);
            var receiving = destination.ReceiveAsync(cancellationToken: Token);
            var source = new MigrationSource(guest, new MigrationSourceOptions { MultifdChannels = channels });
            var sending = source.MigrateAsync(destination.LocalAddresses[0], null, Token);
            await Task.WhenAll(sending, receiving).WaitAsync(TimeSpan.FromMinutes(1), Token);

            incoming.AssertSameMemoryAs(guest.Memory);
            Assert.True(incoming.Started);
            Assert.Equal(channels + 1, (await receiving).Channels.Count);
            Knock(first: false); // the port is open until the host closes it
            await Eventually.TrueAsync(
                () => destination.Refused.All(r => r.Value == expected.GetValueOrDefault(r.Key)), "every stranger has its reason", Token);
            Assert.True(slow > 2);
        }
        finally
        {
            trickle.Dispose();
            peers.ForEach(p => p.Dispose());
        }

        // A small guest fits into the sockets' buffers: its first round may be over before the destination has taken a single channel, and
        // then whoever says the same as an honest channel could be first.
        void KnockAgain()
        {
            Assert.True(
                SpinWait.SpinUntil(() => destination.Admitted == channels + 1, TimeSpan.FromSeconds(30)), "the honest channels are in");
            Knock(first: false);
        }

        void Knock(bool first)
        {
            if (slow < 7)
            {
                trickle.Send(Opening.Main[slow++]); // an eighth would make it a second main
            }

            foreach (var stranger in kinds.Select(kind => s_strangers[kind](channels)).Where(s => s.MayComeFirst || !first))
            {
                var peer = ScriptedPeer.Connect(destination.LocalAddresses[0]).Send(stranger.Bytes);
                peers.Add(peer);
                if (stranger.Finishes)
                {
                    peer.Finish();
                }

                if (stranger.Resets)
                {
                    peer.Reset();
                }

                if (stranger.Reason is { } reason)
                {
                    expected[reason] = expected.GetValueOrDefault(reason) + 1;
                }
            }
        }
    }
}
