using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.Tests.Migration;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A capture by postcopy after a connection that should not have come: its end must not wait for that one's channels.</summary>
public sealed class StrangerBeforePostcopyTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-stranger-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task A_false_start_leaves_nothing_that_the_end_of_a_postcopy_waits_for(int strangers)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        await using var receive = RunningTool.Start(
            "receive", "--listen", "127.0.0.1:0", "--postcopy", "--preempt", "--out", Path.Combine(_folder, "vm"),
            "--control", Path.Combine(_folder, "c"), "--no-progress");
        var address = await receive.ListeningAsync();
        using var raw = new RawSource(address);
        for (var i = 0; i < strangers; i++)
        {
            var stranger = raw.Main(new RecordedStream().Header().Raw(8));
            stranger.Shutdown(SocketShutdown.Send);
            RawSource.ReadToEnd(stranger);
        }

        var sending = ToolRun.RunAsync(
            ["send", vm.Path, address.ToString(), "--postcopy", "--control", Path.Combine(_folder, "s"), "--no-progress"], Token);

        await Task.WhenAll(sending, receive.EndAsync()).WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(0, (await sending).ExitCode);
    }
}
