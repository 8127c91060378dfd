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
        var extra = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var tag = $"dp{Environment.ProcessId % 10000}{extra.Length}";
        using var vm = new SavedFile("pc-q35-10.0");
        await using var here = await NetworkNamespace.CreateAsync($"{tag}a");
        await using var there = await NetworkNamespace.CreateAsync($"{tag}b");
        await here.IpAsync($"link add {here.Name} type veth peer name {there.Name} netns {there.Name}");
        await here.IpAsync($"addr add 10.249.0.1/24 dev {here.Name}");
        await there.IpAsync($"addr add 10.249.0.2/24 dev {there.Name}");
        await here.IpAsync($"link set {here.Name} up");
        await there.IpAsync($"link set {there.Name} up");
        var output = Path.Combine(Path.GetDirectoryName(vm.Path)!, "out");
        using var receive = there.Start(["receive", "--listen", "10.249.0.2:4444", "--out", output, .. extra]);
        await ReadUntilAsync(receive.StandardError, "listening on ");
        // Slow enough to be under way when the link goes.
        using var send = here.Start(
            ["send", vm.Path, "10.249.0.2:4444", "--max-bandwidth", "32K", "--interval", "100ms", "--no-progress", .. extra]);
        await Eventually.TrueAsync(() => File.Exists(output) || Directory.GetFiles(Path.GetDirectoryName(vm.Path)!).Length > 1,
            "the destination has begun to write", Token);
        var started = Stopwatch.GetTimestamp();
        await there.IpAsync($"link set {there.Name} down");

        foreach (var process in (Process[])[send, receive])
        {
            var said = process.StandardError.ReadToEndAsync(Token);
            await process.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"{Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s: {await said}");
            Assert.Equal(1, process.ExitCode);
        }
    }

    private static async Task ReadUntilAsync(StreamReader reader, string start)
    {
        while (await reader.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
            {
                return;
            }
        }

        Assert.Fail($"no line starts with '{start}'");
    }
}
