using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// Postcopy with every channel inside TLS, the preempt channel and those of a recovery too; with OpenSSL and, where there is none, with the
/// runtime's own.
/// </summary>
[Collection(CountsOfTheProcess.Name)] // the switch between the two is the process's
public sealed class TlsPostcopyTests : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private readonly TestAuthority _authority = new();
    private readonly TlsCredentials _server;
    private readonly TlsCredentials _client;

    public TlsPostcopyTests()
    {
        _server = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        _client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
    }

    public static TheoryData<bool, int, bool> Kinds => new()
    {
        { false, 0, false },
        { true, 0, false },
        { true, 2, false },
        { false, 0, true },
        { true, 2, true },
    };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        AppContext.SetSwitch(OpenSsl.AvoidSwitch, false);
        _server.Dispose();
        _client.Dispose();
        _authority.Dispose();
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_guest_runs_on_while_its_memory_follows(bool preempt, int channels, bool withSslStream)
    {
        LiveGuest.RequireUserfaultfd();
        AppContext.SetSwitch(OpenSsl.AvoidSwitch, withSslStream);
        MigrationSource? source = null;
        using var guest = TestGuest.Patterned(16 << 20, whileRunning: (guest, round) =>
        {
            for (long page = round; page < guest.Memory.Blocks[0].PageCount; page += 5)
            {
                guest.Write(guest.Memory.Blocks[0], page, (byte)(round % 3));
            }

            if (round == 2)
            {
                source!.SwitchToPostcopy();
            }
        });
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false });
        await using var destination = Listen(incoming, preempt, channels);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        source = new MigrationSource(guest, Options(preempt, channels) with { MaxDowntime = TimeSpan.FromTicks(1) });

        var sent = await source.MigrateAsync(destination.LocalAddresses[0], null, Token).WaitAsync(s_limit, Token);

        var received = await receiving.WaitAsync(s_limit, Token);
        incoming.AssertWhole();
        Assert.Equal(["create", "load", "start", "complete"], incoming.Calls);
        Assert.Empty(incoming.Pauses);
        Assert.True(received.Postcopy!.RequestedPages > 0, "no page was asked for");
        Assert.Equal(preempt, received.Channels.Any(static channel => channel.Kind == ChannelKind.Preempt && channel.Bytes > 0));
        Assert.Equal(channels + (preempt ? 2 : 1), received.Channels.Count);
        Assert.Equal(sent.TransferredBytes, received.TransferredBytes);
        Assert.All(destination.Refused.Values, static count => Assert.Equal(0, count));
        Assert.Equal(0, guest.Resumed);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task A_lost_link_is_replaced_inside_TLS_as_often_as_it_takes(bool preempt, bool withSslStream)
    {
        LiveGuest.RequireUserfaultfd();
        AppContext.SetSwitch(OpenSsl.AvoidSwitch, withSslStream);
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false });
        await using var destination = Listen(incoming, preempt, channels: 0);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var source = new MigrationSource(guest, Options(preempt, channels: 0) with
        {
            MaxPostcopyBytesPerSecond = 16 << 20,
            RecoveryTimeout = s_limit,
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        var breaker = new LinkBreaker(source, destination.LocalAddresses[0], guest.Memory.TotalPages, breaks: 3);

        var sent = await source.MigrateAsync(destination.LocalAddresses[0], breaker, Token).WaitAsync(s_limit, Token);

        var received = await receiving.WaitAsync(s_limit, Token);
        incoming.AssertWhole();
        Assert.InRange(sent.Postcopy!.Recoveries, 1, 3);
        Assert.Equal(sent.Postcopy.Recoveries, received.Postcopy!.Recoveries);
        Assert.Equal(0, guest.Resumed);
    }

    [Fact]
    public async Task Nobody_comes_back_without_TLS()
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = TestGuest.Patterned(4 << 20);
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false });
        await using var destination = Listen(incoming, preempt: false, channels: 0);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var source = new MigrationSource(guest, Options(preempt: false, channels: 0) with
        {
            MaxPostcopyBytesPerSecond = 1 << 20,
            RecoveryTimeout = s_limit,
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });
        var breaker = new LinkBreaker(source, address: null, guest.Memory.TotalPages, breaks: 1) { OnPaused = lost.SetResult };
        var sending = source.MigrateAsync(destination.LocalAddresses[0], breaker, Token);
        await lost.Task.WaitAsync(s_limit, Token);
        await Eventually.TrueAsync(() => !incoming.Pauses.IsEmpty, "paused", Token);

        using (var plain = ScriptedPeer.Connect(destination.LocalAddresses[0]))
        {
            plain.Send(ScriptedSource.Questions());
            await plain.ReadToEndAsync(Token).WaitAsync(s_limit, Token);
        }

        await Eventually.TrueAsync(() => destination.Refused[RefusalReason.PlainOnTls] == 1, "refused", Token); // it closes first
        await source.ResumeAsync(destination.LocalAddresses[0], Token);
        await sending.WaitAsync(s_limit, Token);
        Assert.Equal(1, (await receiving.WaitAsync(s_limit, Token)).Postcopy!.Recoveries);
        incoming.AssertWhole();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_host_that_runs_no_guest_gets_a_complete_one(bool preempt)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = Listen(incoming, preempt, channels: 0);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);

        await new MigrationSource(guest, Options(preempt, channels: 0) with { MaxPostcopyBytesPerSecond = 4 << 20 })
            .MigrateAsync(destination.LocalAddresses[0], null, Token).WaitAsync(s_limit, Token);

        var received = await receiving.WaitAsync(s_limit, Token);
        incoming.AssertSameMemoryAs(guest.Memory);
        Assert.True(received.Postcopy!.RequestedPages > 0);
        Assert.Equal(preempt, received.Channels.Any(static channel => channel.Kind == ChannelKind.Preempt && channel.Bytes > 0));
    }

    private MigrationDestination Listen(IIncomingGuest guest, bool preempt, int channels) => new(
        [ChannelAddress.Parse("127.0.0.1:0")], guest,
        new MigrationDestinationOptions { MultifdChannels = channels, Postcopy = true, Preempt = preempt, Tls = _server });

    private MigrationSourceOptions Options(bool preempt, int channels) => new()
    {
        Postcopy = true,
        Preempt = preempt,
        MultifdChannels = channels,
        Tls = _client,
        MaxPostcopyBytesPerSecond = 32 << 20, // so that the guest meets missing pages
    };
}
