using System.Text.Json;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class GuardCommandTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("", "--listen is needed")]
    [InlineData("--listen :1", "--qmp or --to is needed")]
    [InlineData("--listen :1 --qmp unix:/a --to :2", "--qmp and --to exclude each other")]
    [InlineData("--listen :1 --qmp unix:/a --channels 4", "go with --to")]
    [InlineData("--listen :1 --qmp unix:/a --preempt", "go with --to")]
    [InlineData("--listen :1 --to :2 --incoming :3", "--incoming goes with --qmp")]
    [InlineData("--listen :1 --to :2 --channels 4 --max-undecided 5", "the migration's own 6 channels must fit")]
    [InlineData("--listen :1 --to :2 --channels 4 --max-undecided-per-peer 5", "the migration's own 6 channels must fit")]
    [InlineData("--listen :1 --to :2 --undecided-timeout 0", "--undecided-timeout: must be more than zero")]
    [InlineData("--listen :1 --to :2 --metrics :0", "--metrics: a TCP address with a port is needed")]
    [InlineData("--listen :1 --to :2 --metrics unix:/a", "--metrics: a TCP address with a port is needed")]
    [InlineData("--listen :1 --to :2 --tls-dir a --tls-cert b", "--tls-dir names the files already")]
    [InlineData("--listen :1 --to :2 --tls-cert b --tls-key c", "--tls-cert, --tls-key and --tls-ca belong together")]
    [InlineData("--listen :1 --to :2 --tls-dir a --tls-pass-through", "choose one")]
    [InlineData("--listen :1 --qmp unix:/a --tls-pass-through", "--tls-pass-through goes with --to")]
    [InlineData("--listen :1 --to :2 --tls-handshake-timeout 0", "--tls-handshake-timeout: must be more than zero")]
    [InlineData("--config a --listen :1", "choose one way")]
    [InlineData("status --watch --json -", "--watch is for people")]
    public async Task A_command_line_that_makes_no_sense_is_one_line_and_exit_code_2(string arguments, string complaint)
    {
        var run = await ToolRun.RunAsync(["guard", .. arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)], Token);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(complaint, Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_complaint_about_a_command_within_a_command_names_both()
    {
        var run = await ToolRun.RunAsync(["guard", "status", "--no-such"], Token);
        Assert.Equal(2, run.ExitCode);
        Assert.StartsWith("dataplane guard status: ", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_guard_without_its_QEMU_fails_at_once_and_says_so_in_its_document()
    {
        using var folder = new GuardTestFolder();
        var run = await ToolRun.RunAsync(
            [
                "guard", "--listen", "127.0.0.1:0", "--qmp", "unix:" + folder.File("none.qmp"),
                "--control", folder.File("c.sock"), "--json", "-",
            ],
            Token);
        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith("dataplane guard: ", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
        using var document = JsonDocument.Parse(run.Out);
        Assert.Equal("dataplane.guard/1", document.RootElement.GetProperty("schema").GetString());
        Assert.Equal("failed", document.RootElement.GetProperty("result").GetString());
        var vm = Assert.Single(document.RootElement.GetProperty("vms").EnumerateArray());
        Assert.Equal("unix:" + folder.File("none.qmp"), vm.GetProperty("name").GetString());
        Assert.Equal("preparing", vm.GetProperty("state").GetString());
        Assert.False(File.Exists(folder.File("c.sock")));
    }

    [Fact]
    public async Task A_guard_without_its_certificates_fails_at_once()
    {
        using var folder = new GuardTestFolder();
        var run = await ToolRun.RunAsync(
            [
                "guard", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--control", folder.File("c.sock"),
                "--max-undecided", "100", "--tls-dir", folder.File("none"),
            ],
            Token);
        Assert.Equal(1, run.ExitCode);
        Assert.Equal($"dataplane guard: no TLS credentials: there is no folder '{folder.File("none")}'", Assert.Single(run.ErrorLines));
    }

    [Fact]
    public async Task Status_without_a_guard_is_one_line_and_exit_code_1()
    {
        using var folder = new GuardTestFolder();
        var run = await ToolRun.RunAsync(["guard", "status", "--control", folder.File("none.sock")], Token);
        Assert.Equal(1, run.ExitCode);
        Assert.Equal($"dataplane guard status: no guard answers at {folder.File("none.sock")}", Assert.Single(run.ErrorLines));
    }
}
