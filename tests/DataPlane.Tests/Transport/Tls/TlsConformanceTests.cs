using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Transport.Tls;

/// <summary>
/// Who is let in and who is not, the same at each of the three ends that judge: a source its destination, `receive` and the guard their
/// source. The table of docs/transport.md.
/// </summary>
public sealed class TlsConformanceTests : IDisposable
{
    private static readonly string s_ed25519 = Path.Combine(AppContext.BaseDirectory, "Ed25519");
    private static readonly string s_rsaPss = Path.Combine(AppContext.BaseDirectory, "RsaPss");

    private readonly TestAuthority _authority = new();
    private readonly TestAuthority _between;
    private readonly TestAuthority _other = new("Another authority");
    private readonly TestAuthority _namesake = new();

    public TlsConformanceTests() => _between = new TestAuthority("Authority between", _authority);

    /// <summary>The judging end, the case, and a part of what it says; null lets in.</summary>
    public static TheoryData<string, string, string?> Table => new(
        from end in (string[])["source", "receive", "guard"]
        from row in (IEnumerable<(string Case, string? Says)>)
        [
            ("good", null),
            ("another authority", end == "source" ? "not signed by our authority" : ""),
            ("expired", "expired"),
            ("not yet", "not valid yet"),
            ("chain with an intermediate", null),
            ("revoked", "revoked"),
            ("revoked in the second list", "revoked"),
            ("the intermediate is revoked", "revoked"),
            ("another is revoked", null),
            ("stale list", "list of ours for it has expired"),
            ("stale list beside a current one", null),
            ("no list for the intermediate", "no revocation list of ours is by the authority that signed it"),
            ("list of another authority", "no revocation list of ours is by the authority that signed it"),
            ("list of another authority beside ours", null),
            ("list that another signed in our name", "revocation list of ours"),
            ("no list for the root", null),
            ("list by name", "revoked"),
            ("list with a certificate in it", end == "source" ? "not signed by our authority" : ""),
            ("other use", null),
            ("other use, strict", "purpose"),
            ("expired authority beside a good one", null),
            ("Ed25519", null),
            ("RSA-PSS", null),
            ("allowed name", null),
            ("allowed name, reversed", null),
            ("other name", "not an allowed name"),
            ("no certificate", "no certificate"),
        ]
        where (end, row.Case) != ("source", "no certificate") // TLS itself has no server without one
        select new TheoryDataRow<string, string, string?>(end, row.Case, row.Says));

    public void Dispose()
    {
        _authority.Dispose();
        _between.Dispose();
        _other.Dispose();
        _namesake.Dispose();
    }

    [Theory]
    [MemberData(nameof(Table))]
    public async Task Each_end_judges_alike(string end, string what, string? says)
    {
        var judge = end == "source" ? TlsEnd.Client : TlsEnd.Server;
        var judged = end == "source" ? TlsEnd.Server : TlsEnd.Client;
        using var own = Own(what, judge);
        using var peer = Peer(what, judged);

        (var client, var server) = await TlsEnds.ShakeHandsAsync(
            judge == TlsEnd.Client ? own : peer, judge == TlsEnd.Server ? own : peer, inGuard: end == "guard");

        var said = judge == TlsEnd.Client ? client : server;
        if (says is null)
        {
            Assert.Equal((null, null), (client, server));
        }
        else
        {
            Assert.Contains(says, Assert.IsType<string>(said), StringComparison.Ordinal);
        }

        if (says is not null)
        {
            Assert.NotNull(client); // it hears of it in whatever words
        }
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("::1", true)]
    [InlineData("::1%lo", true)]
    [InlineData("::1%1", true)]
    [InlineData("localhost", true)]
    [InlineData("localhost.", true)]
    [InlineData("fe80::1", false)]
    [InlineData("fe80::1%lo", false)]
    [InlineData("fe80::1%1", false)]
    [InlineData("fe80::1%no-such-interface", false)]
    [InlineData("127.0.0.2", false)]
    [InlineData("other.example", false)]
    public async Task A_source_checks_whom_it_has_reached(string host, bool isIt)
    {
        using var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        using var server = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);

        (var said, _) = await TlsEnds.ShakeHandsAsync(client, server, host);

        if (isIt)
        {
            Assert.Null(said);
        }
        else
        {
            Assert.Contains("is not for", said, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    [InlineData(".")]
    [InlineData("%lo")]
    public void A_name_that_cannot_be_checked_makes_no_session(string host)
    {
        using var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        if (host == "%lo")
        {
            client.Context.NewSession(host).Dispose(); // a name like any other, which no certificate has
        }
        else
        {
            Assert.ThrowsAny<ArgumentException>(() => client.Context.NewSession(host));
        }
    }

    [Fact]
    public void A_name_that_OpenSSL_does_not_take_makes_no_session()
    {
        using var client = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Client);
        Assert.Throws<TlsCredentialsException>(() => client.Context.NewSession(new string('a', 300))); // no server name has more than 255
    }

    [Theory]
    [InlineData(false, null, null, null)]
    [InlineData(true, null, null, null)]
    [InlineData(false, "other", null, null)]
    [InlineData(false, "qemu", "another key", "has another key")]
    [InlineData(true, "qemu", "another key", "has another key")]
    [InlineData(false, "nobody", null, "shares no key")]
    [InlineData(true, "other", "not allowed", "shares no key")]
    [InlineData(false, "qemu", "certificate", "")]
    public async Task Keys_are_shared(bool inGuard, string? user, string? fault, string? says)
    {
        var serverFile = Write("server.psk", "qemu:00112233445566778899aabbccddeeff\nother:ffeeddccbbaa99887766554433221100\n");
        var clientFile = Write("client.psk", fault == "another key" ? "qemu:00\n"
            : "qemu:00112233445566778899aabbccddeeff\nother:ffeeddccbbaa99887766554433221100\nnobody:00\n");
        using var server = fault == "certificate" ? TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server)
            : TlsCredentials.FromSharedKeys(serverFile, TlsEnd.Server,
                policy: fault == "not allowed" ? new TlsPeerPolicy { AllowedNames = ["qem?"] } : null);
        using var client = TlsCredentials.FromSharedKeys(clientFile, TlsEnd.Client, user);

        (var asked, var served) = await TlsEnds.ShakeHandsAsync(client, server, inGuard: inGuard);

        if (says is null)
        {
            Assert.Equal((null, null), (asked, served));
            return;
        }

        Assert.NotNull(asked);
        if (fault != "certificate")
        {
            Assert.Contains(says, Assert.IsType<string>(served), StringComparison.Ordinal);
        }
    }

    private TlsCredentials Own(string what, TlsEnd end)
    {
        var folder = what == "Ed25519" ? s_ed25519 : what == "RSA-PSS" ? s_rsaPss : _authority.NewFolder("own");
        var revoked = Path.Combine(
            what is "chain with an intermediate" or "revoked in the second list" ? _between.Folder : _authority.Folder,
            end == TlsEnd.Server ? "client-cert.pem" : "server-cert.pem");
        var betweenPath = Write("between.pem", _between.Pem);
        var lists = what switch
        {
            "revoked" or "list by name" => _authority.NewList(revoked),
            "revoked in the second list" => _authority.NewList() + _between.NewList(revoked),
            "the intermediate is revoked" => _authority.NewList(betweenPath) + _between.NewList(),
            "another is revoked" => _authority.NewList(Path.Combine(folder, end == TlsEnd.Server ? "client-cert.pem" : "server-cert.pem")),
            "stale list" => _authority.NewList(expires: -1),
            "stale list beside a current one" => _authority.NewList(expires: -1) + _authority.NewList(),
            "no list for the intermediate" => _authority.NewList(),
            "no list for the root" => _between.NewList(),
            "list of another authority" => _other.NewList(),
            "list of another authority beside ours" => _other.NewList() + _authority.NewList(),
            "list that another signed in our name" => _namesake.NewList(),
            "list with a certificate in it" => _authority.NewList() + _other.Pem + "\n",
            _ => null,
        };
        TlsPeerPolicy policy = new()
        {
            RequireExtendedKeyUsage = what == "other use, strict",
            AllowedNames = what switch
            {
                "allowed name" => ["CN=nobody", "CN=*of a test"],
                "allowed name, reversed" => [end == TlsEnd.Server ? "CN=client of a test" : "CN=server of a test"],
                "other name" => ["CN=somebody else*"],
                _ => [],
            },
        };
        if (what == "list by name")
        {
            var prefix = end == TlsEnd.Server ? "server" : "client";
            return TlsCredentials.FromFiles(Path.Combine(folder, prefix + "-cert.pem"), Path.Combine(folder, prefix + "-key.pem"),
                Path.Combine(folder, "ca-cert.pem"), end, Write("lists.pem", lists!), policy);
        }

        if (lists is not null)
        {
            File.WriteAllText(Path.Combine(folder, "ca-crl.pem"), lists);
        }

        if (what == "expired authority beside a good one")
        {
            File.AppendAllText(Path.Combine(folder, "ca-cert.pem"), "\n" + TestAuthority.ExpiredPem());
        }

        return TlsCredentials.FromFolder(folder, end, policy);
    }

    private TlsCredentials Peer(string what, TlsEnd end)
    {
        var folder = what switch
        {
            "Ed25519" => s_ed25519,
            "RSA-PSS" => s_rsaPss,
            "another authority" or "list with a certificate in it" => Of(_other),
            "expired" => _authority.NewFolder("expired", from: -10, to: -1),
            "not yet" => _authority.NewFolder("early", from: 5),
            "chain with an intermediate" or "revoked in the second list" or "the intermediate is revoked" or "no list for the intermediate"
                or "no list for the root" => _between.Folder,
            "other use" or "other use, strict" => _authority.NewFolder("swapped", swapsPurposes: true),
            _ => _authority.Folder,
        };
        if (what == "no certificate")
        {
            folder = _authority.NewFolder("none");
            File.Delete(Path.Combine(folder, "client-cert.pem"));
            File.Delete(Path.Combine(folder, "client-key.pem"));
        }

        // It was good when it was read.
        return TlsCredentials.FromFolder(folder, end, new FixedTime(DateTimeOffset.UtcNow.AddDays(
            what == "expired" ? -5 : what == "not yet" ? 6 : 0)));
    }

    /// <summary>It knows our authority too, so that it is ours that refuses.</summary>
    private string Of(TestAuthority other)
    {
        var folder = other.NewFolder("strange");
        File.AppendAllText(Path.Combine(folder, "ca-cert.pem"), "\n" + _authority.Pem);
        return folder;
    }

    private string Write(string name, string content)
    {
        var path = Path.Combine(_authority.Folder, name);
        File.WriteAllText(path, content);
        return path;
    }

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => now;
    }
}
