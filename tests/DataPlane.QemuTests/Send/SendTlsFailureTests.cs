using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// TLS that cannot come about between `send` and a QEMU: exit code 1 and one line that says why, before the handshake's time is over.
/// </summary>
public sealed class SendTlsFailureTests(SavedVms vms) : SendTest(vms)
{
    private readonly TestAuthority _authority = new();
    private readonly TestAuthority _other = new("Another authority");

    public static TheoryData<string, int> VersionsAndChannels => new(
        from version in QemuVersion.All from channels in (int[])[0, 2] select new TheoryDataRow<string, int>(version.Label, channels));

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _authority.Dispose();
        _other.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_has_a_certificate_of_another_authority(string version, int channels) =>
        await FailsAsync(version, channels, Secured(channels, _other.Folder, _authority.Folder),
            "the server's certificate was not signed by our authority");

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_refuses_our_certificate(string version, int channels)
    {
        // QEMU's own is good for us: the authority that it knows is the one that it does not find behind ours.
        var ours = _authority.NewFolder("ours");
        foreach (var file in (string[])["client-cert.pem", "client-key.pem"])
        {
            File.Copy(Path.Combine(_other.Folder, file), Path.Combine(ours, file), overwrite: true);
        }

        await FailsAsync(version, channels, Secured(channels, _authority.Folder, ours),
            "before it answered anything: it may have refused our certificate");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_demands_a_certificate_and_we_have_none(string version, int channels)
    {
        var ours = _authority.NewFolder("none");
        foreach (var file in (string[])["client-cert.pem", "client-key.pem"])
        {
            File.Delete(Path.Combine(ours, file));
        }

        await FailsAsync(version, channels, Secured(channels, _authority.Folder, ours), "it may demand a certificate, and we have none");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_has_another_name(string version, int channels)
    {
        var variant = Secured(channels, _authority.Folder, _authority.Folder);

        await FailsAsync(version, channels, variant with { Options = [.. variant.Options, "--tls-hostname", "other.example"] },
            "the server's certificate is not for 'other.example'");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_has_no_certificate_for_its_address(string version, int channels) =>
        await FailsAsync(version, channels, Secured(channels, _authority.NewFolder("elsewhere", addresses: false), _authority.Folder),
            "the server's certificate is not for '127.0.0.1'");

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMUs_certificate_has_expired(string version, int channels) =>
        await FailsAsync(version, channels, Secured(channels, _authority.NewFolder("old", -10, -1), _authority.Folder),
            "the server's certificate has expired");

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_does_not_speak_TLS(string version, int channels) =>
        await FailsAsync(version, channels,
            new SendVariant("") { Qemu = new MigrationSettings { Channels = channels }, Options = ["--tls-dir", _authority.Folder] },
            "perhaps");

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_speaks_TLS_and_we_do_not(string version, int channels) =>
        await FailsAsync(version, channels, Secured(channels, _authority.Folder, _authority.Folder) with { Options = [] },
            "before it answered anything: it may expect TLS");

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task QEMU_is_another_machine_inside_TLS(string version, int channels) =>
        await FailsAsync(version, channels, Secured(channels, _authority.Folder, _authority.Folder), "or be another machine",
            options => options with { Machine = "pc-q35-6.2" });

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task QEMU_expects_fewer_channels_inside_TLS(string version) =>
        await FailsAsync(version, 4, Secured(2, _authority.Folder, _authority.Folder), "it may expect fewer multifd channels than 4");

    [Fact]
    public async Task Our_certificate_has_expired()
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.V111, "pc-q35-10.0");
        await using var send = await SendProcess.StartAsync(
            vm.Path, "tcp:127.0.0.1:1", 0, Work, "--tls-dir", _authority.NewFolder("old", -10, -1));

        var result = await send.WaitAsync(Token);

        Assert.Equal(1, result.ExitCode);
        Assert.Contains("expired", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    private SendVariant Secured(int channels, string qemu, string send) =>
        new SendVariant("") { Qemu = new MigrationSettings { Channels = channels } }.Between(CopyForQemu(qemu), send);

    private async Task FailsAsync(string label, int channels, SendVariant variant, string expectedInLine,
        Func<QemuOptions, QemuOptions>? change = null)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        // QEMU looks at its own files when it starts, and would refuse expired ones.
        var arguments = variant.QemuArguments.Select(argument => argument.StartsWith("tls-creds", StringComparison.Ordinal)
            ? argument + ",sanity-check=off" : argument);
        var destination = await WaitingAsync(vm, version, variant.Qemu, [.. arguments], change);
        await using var send = await SendProcess.StartAsync(vm.Path, destination.Uri, channels, Work, variant.Options);

        var result = await send.WaitAsync(Token);

        foreach (var line in result.Errors)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(line);
        }

        CheckFailure(result, expectedInLine);
    }
}
