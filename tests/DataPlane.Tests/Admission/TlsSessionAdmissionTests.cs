using System.Net.Sockets;
using DataPlane.Tests.Guard;
using DataPlane.Tests.Transport.Tls;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>A door that reads through the sessions of OpenSSL itself, as a destination's does.</summary>
public sealed class TlsSessionAdmissionTests : IAsyncLifetime
{
    private static readonly AdmissionOptions s_two = Door.Expect(2);

    private readonly TestAuthority _authority = new();
    private TlsCredentials _credentials = null!;
    private OpenSslUpgrade _upgrade = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        _upgrade = new OpenSslUpgrade(_credentials);
        return ValueTask.CompletedTask;
    }

    /// <summary>Records without a byte in them keep the admission thread at work and bring the connection no further.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_that_does_nothing_but_change_its_key_is_refused_and_holds_nobody_up(bool demands)
    {
        await using var door = Door.Open(s_two with { Upgrade = _upgrade });
        using var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync("127.0.0.1", door.Admission.LocalAddresses[0].Port, Token);
        using var session = client.Context.NewSession("127.0.0.1");
        await Task.Run(() => TlsHandshake.Run(session, socket.SafeHandle, Token), Token);
        await door.StateAsync(UndecidedState.Silent, 1);

        var flooding = Task.Run(() => Flood(socket, session, demands), Token);
        using var honest = await TlsKnock.ComeAsync(door.Admission.LocalAddresses[0], _authority.Folder);
        await honest.SayAsync(Opening.Main);
        Assert.Equal(ChannelKind.Main, (await door.TakeAsync()).Kind);

        await door.RefusedAsync(RefusalReason.Closed, 1);
        await flooding.WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    public async ValueTask DisposeAsync()
    {
        _upgrade.Dispose();
        _credentials.Dispose();
        _authority.Dispose();
        await ValueTask.CompletedTask;
    }

    /// <summary>Until the door has had enough of it.</summary>
    private static void Flood(Socket socket, TlsSession session, bool demands)
    {
        var record = new byte[1024];
        try
        {
            while (true)
            {
                TlsTalk.ChangeKey(session, demands);
                socket.Send(record.AsSpan(0, TlsTalk.Take(session, record)));
            }
        }
        catch (SocketException)
        {
            // It is closed.
        }
    }
}
