using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Guard.Session;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class TlsSessionsTests
{
    private int _number;

    [Fact]
    public void Sessions_of_an_address_keep_their_order()
    {
        var sessions = Expect(channels: 2);
        TlsSessions.Waiting[] all = [Session("a"), Session("a"), Session("a")];
        foreach (var session in all)
        {
            Assert.Null(sessions.Add(session));
        }

        Assert.All(all, session => Assert.Same(session, sessions.TakeNext()));
        Assert.Null(sessions.TakeNext());
    }

    [Fact]
    public void Those_of_the_first_that_was_let_in_come_before_all_others_and_those_that_failed_behind_them()
    {
        var sessions = Expect(channels: 2, anyPeer: true);
        sessions.Blame(At("bad"));
        sessions.Blame(At("bad"));
        sessions.Blame(At("worse"));
        sessions.Blame(At("worse"));
        sessions.Blame(At("worse"));
        sessions.LetIn(Session("main").Relay, At("main"));
        sessions.Blame(At("main")); // may be a stranger at the same address
        foreach (var address in (string[])["worse", "bad", "fresh", "main"])
        {
            sessions.Add(Session(address));
        }

        Assert.Equal([At("main"), At("fresh"), At("bad"), At("worse")], Enumerable.Range(0, 4).Select(_ => sessions.TakeNext()!.Address));
    }

    [Fact]
    public void However_many_addresses_fail_those_that_failed_lately_and_those_that_fail_again_and_again_stay_behind()
    {
        var sessions = Expect(channels: 2, anyPeer: true);
        for (var i = 0; i <= TlsSessions.MaxFailed; i++)
        {
            sessions.Blame(At($"once {i}"));
            if (i % 1000 == 0)
            {
                sessions.Blame(At("stubborn"));
            }
        }

        var lately = $"once {TlsSessions.MaxFailed - 1000}";
        foreach (var address in (string[])["stubborn", lately, "fresh"])
        {
            sessions.Add(Session(address));
        }

        Assert.Equal([At("fresh"), At(lately), At("stubborn")], Enumerable.Range(0, 3).Select(_ => sessions.TakeNext()!.Address));
    }

    [Fact]
    public void Once_the_first_is_in_only_its_address_may_come_and_nobody_when_the_set_is_complete()
    {
        var sessions = Expect(channels: 1);
        var other = Session("other");
        sessions.Add(other);
        var main = Session("main");
        Assert.True(sessions.MayCome(At("other")));
        sessions.LetIn(main.Relay, main.Address);
        Assert.False(sessions.MayCome(At("other")));
        Assert.Equal([other.Relay], sessions.TakeSurplus());
        Assert.True(sessions.MayCome(At("main")));
        Assert.False(sessions.IsComplete);

        var multifd = Session("main");
        sessions.LetIn(multifd.Relay, At("main"));
        Assert.True(sessions.IsComplete);
        Assert.False(sessions.MayCome(At("main")));
        sessions.Remove(multifd.Relay); // QEMU did not like it after all
        Assert.True(sessions.MayCome(At("main")));
    }

    [Fact]
    public void A_recovery_has_main_and_preempt_anew_from_wherever()
    {
        var sessions = Expect(channels: 2, preempt: true);
        for (var i = 0; i < 4; i++)
        {
            sessions.LetIn(Session("main").Relay, At("main"));
        }

        Assert.True(sessions.IsComplete);
        sessions.ExpectRecovery();
        Assert.True(sessions.MayCome(At("elsewhere")));
        sessions.LetIn(Session("elsewhere").Relay, At("elsewhere"));
        Assert.False(sessions.IsComplete);
        sessions.LetIn(Session("elsewhere").Relay, At("elsewhere"));
        Assert.True(sessions.IsComplete);
    }

    [Fact]
    public void Of_too_many_the_one_that_would_come_last_goes()
    {
        var sessions = Expect(channels: 2);
        sessions.Blame(At("bad"));
        var bad = Session("bad");
        Assert.Null(sessions.Add(bad));
        for (var i = 1; i < TlsSessions.MaxWaiting; i++)
        {
            Assert.Null(sessions.Add(Session("good")));
        }

        Assert.Same(bad.Relay, sessions.Add(Session("good")));
    }

    private static TlsSessions Expect(int channels, bool preempt = false, bool anyPeer = false) =>
        new(new QemuTarget { Address = ChannelAddress.Unix("/q"), Channels = channels, Preempt = preempt, Tls = true }, anyPeer);

    private static PeerGroup At(string listener) => PeerGroup.Of(ChannelAddress.Unix(listener));

    private TlsSessions.Waiting Session(string listener) =>
        new(new ChannelRelay(ChannelKind.Tls, _number++, ChannelId.Tls), default, At(listener));
}
