using System.Diagnostics;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A name with two addresses, in a network of its own that swallows whatever is sent to the first of them.</summary>
public sealed class SeveralAddressesTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("")]
    [InlineData("--channels 2")]
    [InlineData("--postcopy --preempt")]
    public async Task A_guest_goes_to_the_address_that_answers(string options)
    {
        var extra = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        await using var network = await SwallowingAsync($"dp{Environment.ProcessId % 10000}n{extra.Length}");
        using var vm = new SavedFile("pc-q35-10.0");
        using var receive = network.Start(
            ["receive", "--listen", "127.0.0.1:4444", "--out", Path.Combine(Path.GetDirectoryName(vm.Path)!, "out"), .. extra]);
        await ReadUntilAsync(receive.StandardError, "listening on ");
        using var send = network.Start(["send", vm.Path, "destination.test:4444", .. extra]);
        await AssertEndsAsync(send, 0);
        await AssertEndsAsync(receive, 0);
    }

    [Fact]
    public async Task A_bench_finds_its_destination_at_the_address_that_answers()
    {
        await using var network = await SwallowingAsync($"dp{Environment.ProcessId % 10000}nb");
        using var serve = network.Start("serve", "--listen", "127.0.0.1:4460");
        try
        {
            await ReadUntilAsync(serve.StandardError, "listening on ");
            using var bench = network.Start(
                "bench", "--to", "destination.test", "--ram", "16M", "--runs", "1", "--dirty-rate", "0", "--channels", "1");
            await AssertEndsAsync(bench, 0);
        }
        finally
        {
            serve.Kill(entireProcessTree: true);
        }
    }

    [Fact]
    public async Task Where_none_answers_each_address_is_named_with_its_reason()
    {
        await using var network = await SwallowingAsync($"dp{Environment.ProcessId % 10000}nn");
        using var vm = new SavedFile("pc-q35-10.0");
        using var send = network.Start("send", vm.Path, "destination.test:4444", "--timeout", "2s");
        var said = await AssertEndsAsync(send, 1);
        Assert.Contains("cannot connect to destination.test:4444 within 2 s", said, StringComparison.Ordinal);
        Assert.Contains("2001:db8::99: no answer", said, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1: Connection refused", said, StringComparison.Ordinal);
    }

    /// <summary>What goes to 2001:db8::99 gets no answer, nor an error: it leaves for a machine that is not there.</summary>
    private static async Task<NetworkNamespace> SwallowingAsync(string name)
    {
        var network = await NetworkNamespace.CreateAsync(name);
        try
        {
            await network.IpAsync("link set lo up");
            await network.IpAsync("link add va type veth peer name vb");
            await network.IpAsync("link set va up");
            await network.IpAsync("link set vb up");
            await network.IpAsync("addr add 2001:db8::1/64 dev va nodad");
            await network.IpAsync("neigh add 2001:db8::99 lladdr 02:00:00:00:00:99 dev va nud permanent");
            network.SetHosts("2001:db8::99 destination.test\n127.0.0.1 destination.test\n127.0.0.1 localhost\n");
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    private static async Task<string> AssertEndsAsync(Process process, int exitCode)
    {
        var said = process.StandardError.ReadToEndAsync(Token);
        var results = process.StandardOutput.ReadToEndAsync(Token);
        try
        {
            await process.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
        }
        catch (TimeoutException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"it does not end: {await said}");
        }

        await results;
        Assert.True(exitCode == process.ExitCode, $"exit code {process.ExitCode}: {await said}");
        return await said;
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
