using System.Diagnostics;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>
/// The network goes in mid-migration and nobody says so: two network namespaces, and the link between them taken down. No option asks for
/// it: both ends give the other up within half a minute.
/// </summary>
public sealed class VanishedPeerTests
{
    /// <summary>Of a machine with other work: the limits count silent looks, and a look may come late.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("")]
    [InlineData("--channels 2")]
    public async Task Both_ends_notice_that_the_link_is_down(string options)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && await RunAsync("ip", "-V") == 0, "needs root and iproute2");
        string[] extra = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string tag = $"dp{Environment.ProcessId % 10000}{extra.Length}";
        (string here, string there) = ($"{tag}a", $"{tag}b");
        using var vm = new SavedFile("pc-q35-10.0");
        try
        {
            await IpAsync($"netns add {here}");
            Assert.SkipUnless(await RunAsync("ip", $"netns add {there}") == 0, "this system makes no network namespaces");
            await IpAsync($"link add {here} netns {here} type veth peer name {there} netns {there}");
            await IpAsync($"-n {here} addr add 10.249.0.1/24 dev {here}");
            await IpAsync($"-n {there} addr add 10.249.0.2/24 dev {there}");
            await IpAsync($"-n {here} link set {here} up");
            await IpAsync($"-n {there} link set {there} up");
            string output = Path.Combine(Path.GetDirectoryName(vm.Path)!, "out");
            using Process receive = Start(there, ["receive", "--listen", "10.249.0.2:4444", "--out", output, .. extra]);
            await ReadUntilAsync(receive.StandardError, "listening on ");
            // Slow enough to be under way when the link goes.
            using Process send = Start(
                here, ["send", vm.Path, "10.249.0.2:4444", "--max-bandwidth", "32K", "--interval", "100ms", "--no-progress", .. extra]);
            await Eventually.TrueAsync(() => File.Exists(output) || Directory.GetFiles(Path.GetDirectoryName(vm.Path)!).Length > 1,
                "the destination has begun to write", Token);
            var started = Stopwatch.GetTimestamp();
            await IpAsync($"-n {there} link set {there} down");

            foreach (Process process in (Process[])[send, receive])
            {
                Task<string> said = process.StandardError.ReadToEndAsync(Token);
                await process.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
                TestContext.Current.TestOutputHelper?.WriteLine(
                    $"{Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s: {await said}");
                Assert.Equal(1, process.ExitCode);
            }
        }
        finally
        {
            await RunAsync("ip", $"netns del {here}");
            await RunAsync("ip", $"netns del {there}");
        }
    }

    private static Process Start(string network, string[] arguments)
    {
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])
            ["netns", "exec", network, "dotnet", Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), .. arguments])
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    private static async Task ReadUntilAsync(StreamReader reader, string start)
    {
        while (await reader.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
                return;
        }

        Assert.Fail($"no line starts with '{start}'");
    }

    private static async Task IpAsync(string arguments) => Assert.Equal(0, await RunAsync("ip", arguments));

    private static async Task<int> RunAsync(string program, string arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            await process.WaitForExitAsync(CancellationToken.None);
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }
}
