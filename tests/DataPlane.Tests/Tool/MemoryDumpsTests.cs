using System.Diagnostics;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class MemoryDumpsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("send", null, true)]
    [InlineData("receive", null, true)]
    [InlineData("guard", null, true)]
    [InlineData("receive", "0", true)]
    [InlineData("receive", "1", false)]
    [InlineData("bench", null, false)]
    [InlineData("inspect", null, false)]
    [InlineData("--help", null, false)]
    public void Commands_that_hold_memory_of_guests_are_not_dumped_unless_somebody_wants_it(
        string command, string? wanted, bool forbidden) =>
        Assert.Equal(forbidden, MemoryDumps.AreForbidden(
            [command, "--json"], name => name == "DATAPLANE_DUMPS" ? wanted : null));

    [Theory]
    [InlineData("dataplane", "receive")]
    [InlineData("/usr/bin/dataplane", "send")]
    [InlineData("help", "guard")]
    public void A_command_is_known_wherever_its_word_stands(params string[] line) =>
        Assert.True(MemoryDumps.AreForbidden(line, static _ => null));

    /// <summary>The ban looks at the words: a file that brings others would get around it.</summary>
    [Fact]
    public async Task A_file_brings_no_words()
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllLinesAsync(file, ["receive", "--help"], Token);
            var run = await ToolRun.RunAsync([$"@{file}"], Token);
            Assert.Equal(2, run.ExitCode);
            Assert.Contains($"unknown command '@{file}'", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Without_a_command_there_is_nothing_to_forbid() => Assert.False(MemoryDumps.AreForbidden([], static _ => null));

    /// <summary>
    /// The kernel shows it by giving the process's files to root, so it is seen with another user; and the command works.
    /// </summary>
    [Theory]
    [InlineData("", "0")]
    [InlineData("DATAPLANE_DUMPS=1", "65534")]
    public async Task A_receiving_process_of_another_user_listens_and_is_closed_to_its_user(string variable, string owner)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && File.Exists("/usr/bin/setpriv"), "needs root and setpriv");
        var folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
        try
        {
            using var give = Process.Start("chown", ["65534", folder]);
            await give.WaitForExitAsync(Token);
            var start = new ProcessStartInfo("/usr/bin/setpriv") { RedirectStandardError = true };
            foreach (var argument in (string[])
                ["--reuid=65534", "--clear-groups", "env", $"HOME={folder}", .. variable.Length > 0 ? (string[])[variable] : [],
                "dotnet", Path.Combine(AppContext.BaseDirectory, "dataplane.dll"),
                "receive", "--listen", "127.0.0.1:0", "--out", $"{folder}/vm"])
            {
                start.ArgumentList.Add(argument);
            }

            using var receive = Process.Start(start)!;
            try
            {
                var line = await receive.StandardError.ReadLineAsync(Token);
                Assert.SkipWhen(
                    line is null || line.Contains("Permission denied", StringComparison.Ordinal), "others may not read this build");
                Assert.StartsWith("listening on ", line, StringComparison.Ordinal);
                Assert.Equal(owner, DataPlane.Tests.Images.DiskFiles.Run("stat", "-c", "%u", $"/proc/{receive.Id}/maps").Output);
            }
            finally
            {
                receive.Kill();
                await receive.WaitForExitAsync(Token);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
