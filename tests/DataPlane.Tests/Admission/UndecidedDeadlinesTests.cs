using System.Net;
using System.Net.Sockets;
using DataPlane.Admission;
using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>The rules about deadlines, one by one, under a clock that the test moves.</summary>
public sealed class UndecidedDeadlinesTests : IDisposable
{
    private static readonly PeerAddress s_peer = PeerAddress.Of(new IPEndPoint(IPAddress.Loopback, 1));

    private static readonly AdmissionOptions s_options = new() { Preempt = true };

    private readonly FakeTimeProvider _time = new();
    private readonly EventFd _wake = new();
    private readonly AdmissionClock _clock;
    private readonly AdmissionFacts _facts = new(s_options, NoHost.Instance);
    private readonly UndecidedSet _undecided = new(need: 2);
    private readonly UndecidedDeadlines _deadlines;
    private readonly List<SafeSocketHandle> _sockets = [];
    private ulong _nextKey;

    public UndecidedDeadlinesTests()
    {
        _clock = new AdmissionClock(_time, _wake);
        _deadlines = new UndecidedDeadlines(_undecided, _facts, s_options, _clock);
    }

    public void Dispose()
    {
        _clock.Dispose();
        _wake.Dispose();
        _sockets.ForEach(static socket => socket.Dispose());
    }

    [Fact]
    public void Silence_ends_with_its_time_unless_a_channel_of_the_address_has_come_meanwhile()
    {
        var connection = Come();
        _time.Advance(s_options.UndecidedTimeout - TimeSpan.FromSeconds(1));
        _deadlines.Rearm(s_peer.Group);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Null(Expire(connection));
        Assert.Equal(_clock.After(s_options.UndecidedTimeout - TimeSpan.FromSeconds(1)), connection.Deadline);

        _time.Advance(s_options.UndecidedTimeout);
        Assert.Equal(RefusalReason.Silent, Expire(connection));
    }

    [Fact]
    public void What_may_be_the_preempt_channel_waits_until_that_has_come()
    {
        var connection = Come();
        _facts.AddMain(s_peer.Group, recovered: false);
        Assert.Null(Expire(connection));
        Assert.Equal(long.MaxValue, connection.Deadline);

        _facts.AddPreempt(s_peer.Group);
        _deadlines.EndCandidacies();
        Assert.Equal(_deadlines.OfSilence, connection.Deadline);
        Assert.Equal(RefusalReason.Silent, Expire(connection));
    }

    [Fact]
    public void Who_has_begun_to_speak_has_the_time_for_a_proof()
    {
        var connection = Say(Opening.Main.AsSpan(0, 4));
        Assert.Equal(_clock.After(s_options.IncompleteTimeout), connection.Deadline);
        Assert.Equal(RefusalReason.Incomplete, Expire(connection));
    }

    [Fact]
    public void A_held_connection_has_the_time_that_the_host_needs()
    {
        var main = Hold(Opening.Main);
        Assert.Equal(long.MaxValue, main.Deadline);
        Assert.Equal(RefusalReason.SecondMain, Expire(main));

        var recovery = Hold(Opening.Recovery);
        Assert.Equal(_clock.After(2 * s_options.UndecidedTimeout), recovery.Deadline);
        Assert.Equal(RefusalReason.Unexpected, Expire(recovery));

        var record = Hold(Opening.PageRecord);
        Assert.Equal(_clock.After(s_options.IncompleteTimeout), record.Deadline);
        Assert.Equal(RefusalReason.BadPreempt, Expire(record));
    }

    [Fact]
    public void Beside_a_preempt_channel_a_record_has_three_seconds_from_its_first_byte()
    {
        _facts.AddPreempt(s_peer.Group);
        var record = Say(Opening.PageRecord.AsSpan(0, 3));
        _deadlines.ShortenBesidePreempt(record);
        var deadline = _clock.After(TimeSpan.FromSeconds(3));
        Assert.Equal(deadline, record.Deadline);

        _time.Advance(TimeSpan.FromSeconds(1));
        record.IsHeld = true;
        _deadlines.Hold(record);
        _deadlines.ShortenBesidePreempt(record);
        Assert.Equal(deadline, record.Deadline);
        Assert.Equal(RefusalReason.LostCandidacy, Expire(record));

        _deadlines.ExtendRecords();
        Assert.Equal(_clock.After(s_options.IncompleteTimeout), record.Deadline);
    }

    [Fact]
    public void A_lone_end_waits_for_the_end_of_main()
    {
        _facts.AddMain(s_peer.Group, recovered: false);
        var end = Hold(Opening.End);
        Assert.Null(Expire(end));
        Assert.Equal(long.MaxValue, end.Deadline);
    }

    [Fact]
    public void A_handshake_has_a_time_of_its_own()
    {
        var connection = Hold(Opening.TlsHello);
        using var upgrading = new CancellationTokenSource();
        connection.Upgrading = upgrading;
        _deadlines.BeginHandshake(connection);

        Assert.Equal(_clock.After(s_options.HandshakeTimeout), connection.Deadline);
        Assert.Equal(RefusalReason.TlsHandshake, _deadlines.Expire(connection, _clock.Now, out var detail));
        Assert.Equal("it was not over within 5 s", detail);
    }

    private UndecidedConnection Come(ReadOnlySpan<byte> bytes = default)
    {
        var (near, far) = SocketCalls.CreateSocketPair();
        _sockets.AddRange([near, far]);
        if (!bytes.IsEmpty)
        {
            using var peer = new Socket(new SafeSocketHandle(far.DangerousGetHandle(), ownsHandle: false));
            peer.Send(bytes);
        }

        var connection = new UndecidedConnection(++_nextKey, new AcceptedSocket(near, s_peer), _clock.Now);
        _undecided.Add(connection, _deadlines.OfSilence);
        return connection;
    }

    private UndecidedConnection Say(ReadOnlySpan<byte> bytes)
    {
        var connection = Come(bytes);
        connection.Read();
        _deadlines.BeginToSpeak(connection);
        return connection;
    }

    private UndecidedConnection Hold(ReadOnlySpan<byte> bytes)
    {
        var connection = Say(bytes);
        connection.IsHeld = true;
        _deadlines.Hold(connection);
        return connection;
    }

    private RefusalReason? Expire(UndecidedConnection connection) => _deadlines.Expire(connection, _clock.Now, out _);
}
