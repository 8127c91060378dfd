using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests;

/// <summary>Real QEMU sources inside TLS, with and without multifd; and those that must not come in.</summary>
public sealed class ReceiveTlsTests : ReceiveTest
{
    private readonly TestAuthority _authority = new();

    public static TheoryData<string, string, int, bool> Cases => new()
    {
        { "7.2", "pc-q35-7.2", 0, false },
        { "7.2", "pc-q35-7.2", 4, true },
        { "10.0", "pc-q35-10.0", 0, true },
        { "10.0", "pc-q35-10.0", 4, false },
        { "11.1", "pc-q35-11.1", 0, false },
        { "11.1", "pc-q35-11.1", 4, true },
    };

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _authority.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_arrives_inside_TLS_with_every_byte(string version, string machine, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Secured(version, machine, _authority.Folder));

        await CaptureAsync(
            source,
            new MigrationSettings { Channels = channels, ReturnPath = returnPath, Parameters = [("tls-creds", "tls0")] },
            new ReceiveOptions { Out = OutFile, Extra = ["--tls-dir", _authority.Folder] });

        await RunsOnAsync(source, paused: false, version == "11.1" ? QemuVersion.V111 : QemuVersion.V100);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_arrives_inside_TLS_with_shared_keys(string version, string machine, int channels, bool returnPath)
    {
        var folder = Work.NewFolder("psk");
        var keys = Path.Combine(folder, "keys.psk");
        await File.WriteAllTextAsync(keys, "other:00\nqemu:00112233445566778899aabbccddeeff\n", Token);
        var secured = Secured(version, machine, _authority.Folder);
        var source = await StartSourceAsync(
            secured with { Extra = ["-object", $"tls-creds-psk,id=tls0,dir={folder},endpoint=client"] });

        await CaptureAsync(
            source,
            new MigrationSettings { Channels = channels, ReturnPath = returnPath, Parameters = [("tls-creds", "tls0")] },
            new ReceiveOptions { Out = OutFile, Extra = ["--tls-psk", keys, "--tls-allow", "q*"] });

        await RunsOnAsync(source, paused: false, version == "11.1" ? QemuVersion.V111 : QemuVersion.V100);
    }

    [Theory]
    [InlineData("7.2", "pc-q35-7.2")]
    [InlineData("10.0", "pc-q35-10.0")]
    [InlineData("11.1", "pc-q35-11.1")]
    public async Task A_source_with_a_certificate_for_servers_alone_is_taken_as_QEMU_takes_it(string version, string machine)
    {
        var folder = _authority.NewFolder("swapped", swapsPurposes: true);
        var secured = Secured(version, machine, folder);
        // QEMU looks at its own files when it starts, which is another matter.
        var source = await StartSourceAsync(secured with
        {
            Extra = [.. secured.Extra.Select(argument =>
            argument.StartsWith("tls-creds", StringComparison.Ordinal) ? argument + ",sanity-check=off" : argument)]
        });

        await CaptureAsync(
            source,
            new MigrationSettings { ReturnPath = true, Parameters = [("tls-creds", "tls0")] },
            new ReceiveOptions { Out = OutFile, Extra = ["--tls-dir", _authority.Folder, "--tls-allow", "CN=client of*"] });
    }

    [Fact]
    public async Task A_source_without_TLS_is_named_and_another_may_come()
    {
        var source = await StartSourceAsync(Secured("11.1", "pc-q35-11.1", _authority.Folder));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Extra = ["--tls-dir", _authority.Folder] });
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await RunsOnAtSourceAsync(source);

        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true, Parameters = [("tls-creds", "tls0")] }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Contains("does not speak TLS", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_source_of_another_authority_is_named_and_the_wait_goes_on_to_its_limit()
    {
        using var other = new TestAuthority("Another");
        string[] strange = ["client-cert.pem", "client-key.pem"];
        var folder = _authority.NewFolder("strange");
        foreach (var file in strange)
        {
            File.Copy(Path.Combine(other.Folder, file), Path.Combine(folder, file), overwrite: true);
        }
        // QEMU looks at its own files when it starts: the authority it knows must be the one that signed its certificate.
        File.AppendAllText(Path.Combine(folder, "ca-cert.pem"),
            await File.ReadAllTextAsync(Path.Combine(other.Folder, "ca-cert.pem"), Token));
        var source = await StartSourceAsync(Secured("10.0", "pc-q35-10.0", folder));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Extra = ["--tls-dir", _authority.Folder, "--timeout", "15s"] });
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true, Parameters = [("tls-creds", "tls0")] }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.Equal(2, result.Errors.Count);
        Assert.Contains("it has none that our authority signed", result.Errors[0], StringComparison.Ordinal);
        Assert.Contains("main", result.Errors[1], StringComparison.Ordinal);
        await RunsOnAtSourceAsync(source);
    }

    [Fact]
    public async Task A_source_that_refuses_our_certificate_is_named()
    {
        var elsewhere = _authority.NewFolder("elsewhere", addresses: false);
        var source = await StartSourceAsync(Secured("11.1", "pc-q35-11.1", _authority.Folder));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Extra = ["--tls-dir", elsewhere, "--timeout", "15s"] });
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true, Parameters = [("tls-creds", "tls0")] }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await RunsOnAtSourceAsync(source);

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.Contains(result.Errors, line => line.Contains("our certificate", StringComparison.Ordinal));
    }
}
