using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Transport.Tls;

/// <summary>Two sessions with nothing between them.</summary>
public sealed class TlsSessionTests : IDisposable
{
    private readonly TestAuthority _authority = new();
    private readonly TlsCredentials _clientSide;
    private readonly TlsCredentials _serverSide;
    private readonly TlsSession _client;
    private readonly TlsSession _server;

    public TlsSessionTests()
    {
        _clientSide = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        _serverSide = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        _client = _clientSide.Context.NewSession("localhost");
        _server = _serverSide.Context.NewSession();
        while (_client.Handshake() != TlsResult.Done | _server.Handshake() != TlsResult.Done)
        {
            TlsTalk.Move(_client, _server);
            TlsTalk.Move(_server, _client);
        }
    }

    /// <summary>
    /// A source waits until the last byte of its guest has left, up to a time limit, and takes the guest back when it has not. A peer that
    /// sends nonsense at that moment and reads no further must not have it wait for the alert that comes after that byte.
    /// </summary>
    [Fact]
    public void An_alert_about_what_came_in_is_not_part_of_what_must_leave()
    {
        Assert.Equal(TlsResult.Done, TlsTalk.Say(_client, [42]));
        var last = (int)_client.PeekOwed().Length;
        _client.Prepend([0x17, 3, 3, 0, 32, .. new byte[32]]); // a record of no key
        Assert.Equal(0, TlsTalk.Hear(_client)); // the reader's thread meets it
        Assert.NotNull(_client.Failure);

        Assert.True((int)_client.PeekOutgoing().Length > last);
        Assert.Equal(last, (int)_client.PeekOwed().Length);
        _client.ConfirmOutgoing(last);
        Assert.Equal(0, (int)_client.PeekOwed().Length);
        Assert.NotEqual(0, (int)_client.PeekOutgoing().Length);
    }

    [Fact]
    public void An_answer_to_a_demand_for_new_keys_leaves_with_what_is_said_next()
    {
        TlsTalk.ChangeKey(_server, demands: true);
        TlsTalk.Move(_server, _client);
        Assert.Equal(0, TlsTalk.Hear(_client));
        Assert.Equal(0, (int)_client.PeekOwed().Length);

        Assert.Equal(TlsResult.Done, TlsTalk.Say(_client, [1, 2, 3]));
        Assert.Equal((int)_client.PeekOutgoing().Length, (int)_client.PeekOwed().Length);
        TlsTalk.Move(_client, _server);
        Assert.Equal(3, TlsTalk.Hear(_server));
    }

    [Fact]
    public void A_close_notify_must_leave()
    {
        _client.AppendCloseNotify();
        Assert.NotEqual(0, (int)_client.PeekOwed().Length);
    }

    /// <summary>A session can be held as long as its memory is there, so a hold that is refused shows that it has been freed.</summary>
    [Fact]
    public void A_session_that_cannot_take_what_was_read_ahead_still_gives_its_memory_back()
    {
        using var session = _serverSide.Context.NewSession();
        Assert.Throws<InvalidOperationException>(() => session.Prepend(new byte[1 << 20]));

        session.Dispose();

        Assert.Throws<ObjectDisposedException>(() => session.Hold());
    }

    public void Dispose()
    {
        _client.Dispose();
        _server.Dispose();
        _clientSide.Dispose();
        _serverSide.Dispose();
        _authority.Dispose();
    }
}
