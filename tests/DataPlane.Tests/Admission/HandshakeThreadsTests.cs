using DataPlane.Tests.Guard;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>Counts threads by their name: every door with TLS that another test opens meanwhile would have the same.</summary>
[Collection(CountsOfTheProcess.Name)]
public sealed class HandshakeThreadsTests
{
    /// <summary>However many come, their cryptography has the same few threads, and takes none of the runtime's.</summary>
    [Fact]
    public async Task Handshakes_have_few_threads_of_their_own()
    {
        const int Strangers = 64;
        var token = TestContext.Current.CancellationToken;
        using TestAuthority authority = new();
        using var credentials = TlsCredentials.FromFolder(authority.Folder, TlsEnd.Server);
        using OpenSslUpgrade upgrade = new(credentials);
        // Those of tests that are over may be about to end, and those of this one to get their name.
        var before = Threads();
        await using var door = Door.Open(Door.Expect(2) with { Upgrade = upgrade, MaxUndecided = 500, MaxUndecidedPerPeer = 500 });
        List<ScriptedPeer> peers = [];
        for (var i = 0; i < Strangers; i++)
        {
            peers.Add(door.Knock(TlsKnock.Hello));
        }

        foreach (var peer in peers)
        {
            await peer.ReceiveAsync(100, token); // each has been served, none is through
        }

        Assert.Equal(Strangers, door.Admission.Undecided);
        Assert.InRange(Threads(), 1, before + TlsThreads.Most);
    }

    private static int Threads() =>
        Directory.GetDirectories("/proc/self/task").Count(static task => NameOf(task) == TlsThreads.Name);

    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(task + "/comm").TrimEnd();
        }
        catch (IOException)
        {
            return ""; // ended meanwhile
        }
    }
}
