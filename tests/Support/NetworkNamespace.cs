using System.Diagnostics;
using Xunit;

namespace DataPlane.TestSupport;

/// <summary>A network of its own, deleted at the end; skips the test where this machine or user makes none.</summary>
internal sealed class NetworkNamespace : IAsyncDisposable
{
    private readonly string _hosts;

    private NetworkNamespace(string name)
    {
        Name = name;
        _hosts = $"/etc/netns/{name}";
    }

    public string Name { get; }

    public static async Task<NetworkNamespace> CreateAsync(string name)
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && await RunAsync("ip", "-V") == 0, "needs root and iproute2");
        Assert.SkipUnless(await RunAsync("ip", $"netns add {name}") == 0, "this system makes no network namespaces");
        return new NetworkNamespace(name);
    }

    /// <summary><c>ip</c> inside it.</summary>
    public async Task IpAsync(string arguments) => Assert.Equal(0, await RunAsync("ip", $"-n {Name} {arguments}"));

    /// <summary>What names mean inside it.</summary>
    public void SetHosts(string text)
    {
        Directory.CreateDirectory(_hosts);
        File.WriteAllText($"{_hosts}/hosts", text);
    }

    /// <summary>The tool as a process inside it.</summary>
    public Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])
            ["netns", "exec", Name, "dotnet", Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    public async ValueTask DisposeAsync()
    {
        await RunAsync("ip", $"netns del {Name}");
        if (Directory.Exists(_hosts))
        {
            Directory.Delete(_hosts, recursive: true);
        }
    }

    private static async Task<int> RunAsync(string program, string arguments)
    {
        try
        {
            // Its words are nobody's: what counts is how it ends.
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var process = Process.Start(start)!;
            var reading = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await Task.WhenAll(reading, process.WaitForExitAsync()).WaitAsync(TimeSpan.FromMinutes(1));
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1;
        }
    }
}
