using System.Diagnostics;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>The tool as an ordinary user: what postcopy needs is missed before anything begins, and said.</summary>
public sealed class OrdinaryUserTests
{
    private const string Obstacle = "userfaultfd is not permitted to this user: vm.unprivileged_userfaultfd is 0.";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_bench_by_postcopy_says_what_it_needs()
    {
        await RequireAsync();
        using var bench = StartAsNobody("bench", "--postcopy", "--ram", "16M");
        var said = await EndAsync(bench);
        Assert.Equal(1, bench.ExitCode);
        Assert.Contains($"dataplane bench: --postcopy: {Obstacle}", said, StringComparison.Ordinal);
        Assert.DoesNotContain("warm-up", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_serve_says_that_it_will_refuse_and_a_bench_to_it_says_why()
    {
        await RequireAsync();
        using var serve = StartAsNobody("serve", "--listen", "127.0.0.1:0");
        try
        {
            var address = (await ReadAsync(serve))["listening on ".Length..];
            Assert.StartsWith($"bench --postcopy will be refused: {Obstacle}", await ReadAsync(serve), StringComparison.Ordinal);
            var bench = await ToolRun.RunAsync(["bench", "--to", address, "--postcopy", "--ram", "16M"], Token);
            Assert.Equal(1, bench.ExitCode);
            Assert.StartsWith(
                $"dataplane bench: --postcopy: not at the destination: {Obstacle}", bench.ErrorLines[^1], StringComparison.Ordinal);
        }
        finally
        {
            serve.Kill();
        }
    }

    private static async Task RequireAsync()
    {
        const string Sysctl = "/proc/sys/vm/unprivileged_userfaultfd";
        Assert.SkipUnless(Environment.IsPrivilegedProcess && File.Exists("/usr/bin/setpriv"), "needs root and setpriv");
        Assert.SkipUnless(File.Exists(Sysctl) && (await File.ReadAllTextAsync(Sysctl, Token)).Trim() == "0",
            "vm.unprivileged_userfaultfd is not 0 here");
        Assert.SkipWhen(
            FileFacts.TryRead("/dev/userfaultfd", out var device) && device.Permissions.HasFlag(UnixFileMode.OtherWrite),
            "/dev/userfaultfd is open to everybody");
        Assert.SkipUnless((await File.ReadAllTextAsync("/proc/self/status", Token)).Contains("Seccomp:\t0", StringComparison.Ordinal),
            "the system calls of this process are filtered");
        using var probe = StartAsNobody("--version");
        await EndAsync(probe);
        Assert.SkipUnless(probe.ExitCode == 0, "user nobody cannot read this folder");
    }

    private static Process StartAsNobody(params string[] arguments)
    {
        var start = new ProcessStartInfo("setpriv") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])
            ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "dotnet",
                Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    private static async Task<string> ReadAsync(Process process) =>
        await process.StandardError.ReadLineAsync(Token).AsTask().WaitAsync(s_patience, Token) ?? throw new EndOfStreamException();

    private static async Task<string> EndAsync(Process process)
    {
        var results = process.StandardOutput.ReadToEndAsync(Token);
        var said = await process.StandardError.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
        await process.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
        await results;
        return said;
    }
}
