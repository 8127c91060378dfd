using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>
/// Every command of a user whose processes may open few files (ulimit -n): it works, or one line says what is missing; there is no
/// exception and no stack trace.
/// </summary>
public sealed class FewDescriptorsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string> Commands => new(
        "--help",
        "--version",
        "bench --ram 16M --runs 1 --channels 2 --dirty-rate 0",
        "bench --ram 16M --runs 1 --wire-only --channels 60",
        "inspect FOLDER/vm",
        "send FOLDER/vm 127.0.0.1:1 --channels 200",
        "send FOLDER/vm SILENT --channels 20 --timeout 1s",
        "receive --listen 127.0.0.1:0 --out FOLDER/out --channels 200 --timeout 1s",
        "receive --listen 127.0.0.1:0 --out FOLDER/out --channels 10 --timeout 1s",
        "serve --listen 127.0.0.1:0 --until-eof",
        "guard --listen 127.0.0.1:0 --to 127.0.0.1:1 --config FOLDER/none",
        "guard status",
        "postcopy status");

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task Sixty_four_are_too_few_for_the_runtime_alone(string command)
    {
        (var exitCode, var said) = await RunAsync(64, command);
        Assert.Equal(1, exitCode);
        Assert.Equal("dataplane: this process may open 64 files, and needs 256: raise the limit (ulimit -n, LimitNOFILE)\n", said);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task With_256_a_command_works_or_says_what_is_missing(string command)
    {
        (var exitCode, var said) = await RunAsync(256, command);
        Assert.InRange(exitCode, 0, 3); // neither 124 (it hangs) nor 134 (an exception)
        Assert.DoesNotContain("   at ", said, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", said, StringComparison.Ordinal);
        if (exitCode != 0)
        {
            Assert.Single(said.Split('\n'), static line => line.StartsWith("dataplane", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task More_channels_than_there_are_files_for_are_refused_beforehand()
    {
        (var exitCode, var said) = await RunAsync(256, "send FOLDER/vm 127.0.0.1:1 --channels 200");
        Assert.Equal(1, exitCode);
        Assert.Contains("--channels 200 may need 800 open files, and this process may have 256", said, StringComparison.Ordinal);
    }

    /// <summary>As nobody: root's limit is raised by the tool itself.</summary>
    private static async Task<(int ExitCode, string Said)> RunAsync(int files, string command)
    {
        Assert.SkipUnless(
            Environment.IsPrivilegedProcess && File.Exists("/usr/bin/prlimit") && File.Exists("/usr/bin/setpriv"),
            "needs root, prlimit and setpriv");
        using var vm = new SavedFile("pc-q35-10.0");
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var folder = Path.GetDirectoryName(vm.Path)!;
        using (var chown = Process.Start("chown", ["-R", "65534", folder]))
        {
            await chown.WaitForExitAsync(Token);
        }

        var tool = Path.Combine(AppContext.BaseDirectory, "dataplane.dll");
        if (await EndAsync(AsNobody([], tool, "--version")) is { ExitCode: not 0 })
        {
            Assert.Skip("user nobody cannot read this folder");
        }

        command = command.Replace("FOLDER", folder, StringComparison.Ordinal)
            .Replace("SILENT", $"127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}", StringComparison.Ordinal);
        (var exitCode, var said) = await EndAsync(AsNobody(["prlimit", $"--nofile={files}:{files}"], tool, command.Split(' ')));
        TestContext.Current.TestOutputHelper?.WriteLine($"{exitCode}\n{said}");
        return (exitCode, said);
    }

    private static Process AsNobody(string[] before, string tool, params string[] arguments)
    {
        var start = new ProcessStartInfo("setpriv")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var word in (string[])
        [
            "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", .. before, "timeout", "60", "dotnet", tool, .. arguments,
        ])
        {
            start.ArgumentList.Add(word);
        }

        return Process.Start(start)!;
    }

    private static async Task<(int ExitCode, string Said)> EndAsync(Process process)
    {
        using (process)
        {
            process.StandardInput.Close();
            var results = process.StandardOutput.ReadToEndAsync(Token);
            var said = await process.StandardError.ReadToEndAsync(Token);
            await process.WaitForExitAsync(Token);
            await results;
            return (process.ExitCode, said);
        }
    }
}
