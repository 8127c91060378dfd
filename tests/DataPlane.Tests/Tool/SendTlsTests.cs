using System.Text.Json;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary><c>dataplane send --tls-dir</c> towards a destination of our own.</summary>
public sealed class SendTlsTests : IDisposable
{
    private readonly TestAuthority _authority = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _authority.Dispose();

    [Theory]
    [InlineData("127.0.0.1:0", 0)]
    [InlineData("127.0.0.1:0", 3)]
    [InlineData("127.0.0.1:0", 3, "--tls-hostname", TestAuthority.HostName)]
    [InlineData("unix", 3, "--tls-hostname", TestAuthority.HostName)]
    public async Task A_saved_VM_arrives(string listen, int channels, params string[] options)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var incoming = new TestIncomingGuest();
        using var credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse(listen == "unix" ? $"unix:{vm.Path}.sock" : listen)], incoming,
            new() { MultifdChannels = channels, Tls = credentials });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);

        var run = await ToolRun.RunAsync(
            [
                "send", vm.Path, destination.LocalAddresses[0].ToString(), "--channels", $"{channels}", "--tls-dir", _authority.Folder,
                "--json", "-", .. options,
            ],
            Token);

        Assert.True(run.ExitCode == 0, run.Error);
        await receiving;
        Assert.Equal(0xAB, incoming.Memory!.Blocks[0].Span(0, 1)[0]);
        var json = JsonElement.Parse(run.Out);
        Assert.Equal("at_destination", json.GetProperty("guest").GetString());
        Assert.Equal(_authority.Folder, json.GetProperty("options").GetProperty("tls_dir").GetString());
        Assert.Equal(channels + 1, json.GetProperty("channels").GetArrayLength());
    }

    [Theory]
    [InlineData("127.0.0.1:0", false)]
    [InlineData("127.0.0.1:0", true)]
    [InlineData("unix", true, "--tls-hostname", TestAuthority.HostName)]
    public async Task A_saved_VM_goes_before_its_memory(string listen, bool preempt, params string[] options)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var incoming = new TestIncomingGuest();
        using var credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse(listen == "unix" ? $"unix:{vm.Path}.sock" : listen)], incoming,
            new() { Postcopy = true, Preempt = preempt, Tls = credentials });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);

        var run = await ToolRun.RunAsync(
            [
                "send", vm.Path, destination.LocalAddresses[0].ToString(), "--postcopy", .. preempt ? ["--preempt"] : (string[])[],
                "--tls-dir", _authority.Folder, "--json", "-", .. options,
            ],
            Token);

        Assert.True(run.ExitCode == 0, run.Error);
        var received = await receiving;
        Assert.NotNull(received.Postcopy);
        Assert.Equal(0xAB, incoming.Memory!.Blocks[0].Span((1 << 20) - 1, 1)[0]);
        Assert.Equal(preempt ? 2 : 1, JsonElement.Parse(run.Out).GetProperty("channels").GetArrayLength());
    }

    [Theory]
    [InlineData("the name in the destination's certificate must be given", "unix:/nowhere")]
    [InlineData("--tls-dir: no TLS credentials: there is no folder '/nowhere'", "127.0.0.1:1", "/nowhere")]
    public async Task What_cannot_work_is_said_in_one_line(string expected, string address, string? folder = null)
    {
        using var vm = new SavedFile("pc-q35-10.0");

        var run = await ToolRun.RunAsync(["send", vm.Path, address, "--no-progress", "--tls-dir", folder ?? _authority.Folder], Token);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(expected, Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_name_without_TLS_is_a_wrong_command_line()
    {
        var run = await ToolRun.RunAsync(["send", "vm", "127.0.0.1:1", "--tls-hostname", "vm.example"], Token);

        Assert.Equal(2, run.ExitCode);
        Assert.Contains("--tls-hostname", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }
}
