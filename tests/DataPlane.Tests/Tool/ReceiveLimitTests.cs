using System.Net;
using System.Net.Sockets;
using DataPlane.Tests.MainStream;
using DataPlane.Tests.Tool.Guard;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>What `receive` takes from whom where nobody has said it.</summary>
public sealed class ReceiveLimitTests : IDisposable
{
    private readonly GuardTestFolder _folder = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task More_memory_than_the_disk_has_free_is_refused_before_any_of_it_is_reserved()
    {
        var port = FreePort();
        var run = ToolRun.RunAsync(
            ["receive", "--listen", $"127.0.0.1:{port}", "--out", Path.Combine(_folder.Path, "vm")], Token);
        using var main = await ConnectAsync(port);
        main.Send(new RecordedStream().Header().BeginStart().Record(RamFlags.MemorySize, 1L << 50).Bytes);

        var ended = await run.WaitAsync(TimeSpan.FromMinutes(1), Token);

        Assert.Equal(1, ended.ExitCode);
        Assert.Contains("bytes of RAM", ended.Error, StringComparison.Ordinal);
        Assert.Contains("--max-ram, which is the free space on the disk of --out by default", ended.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task Only_the_allowed_networks_are_heard_and_what_comes_to_nothing_is_told()
    {
        var port = FreePort();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var run = ToolRun.RunAsync(
            ["receive", "--listen", $"127.0.0.1:{port}", "--out", Path.Combine(_folder.Path, "vm"), "--allow", "127.0.0.1",
                "--json", Path.Combine(_folder.Path, "result")], stop.Token);
        using (var allowed = await ConnectAsync(port))
        {
            allowed.Send(new RecordedStream().Header().Raw(8).Bytes);
            allowed.Shutdown(SocketShutdown.Send);
            await EndAsync(allowed);
        }

        using (Socket stranger = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            stranger.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.9"), 0));
            await EndAsync(stranger, () => stranger.Connect(IPAddress.Loopback, port)); // it may be reset in its connect
        }

        using (var source = await ConnectAsync(port))
        {
            source.Send(RecordedStream.Complete(returnPath: false).Bytes);
            source.Shutdown(SocketShutdown.Send);
            var ended = await run.WaitAsync(TimeSpan.FromMinutes(1), Token);
            Assert.True(ended.ExitCode == 0, ended.Error);
            Assert.Contains("was refused: the stream ended", ended.Error, StringComparison.Ordinal);
        }

        var json = await File.ReadAllTextAsync(Path.Combine(_folder.Path, "result"), Token);
        Assert.Contains("\"false_start\": 1", json, StringComparison.Ordinal);
        Assert.Contains("\"not_allowed\": 1", json, StringComparison.Ordinal);
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private static async Task<Socket> ConnectAsync(int port)
    {
        for (var left = 600; ; left--)
        {
            Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port, Token);
                return socket;
            }
            catch (SocketException) when (left > 0)
            {
                socket.Dispose(); // it does not listen yet
                await Task.Delay(50, Token);
            }
        }
    }

    private static async Task EndAsync(Socket socket, Action? first = null)
    {
        try
        {
            first?.Invoke();
            while (await socket.ReceiveAsync(new byte[64], Token).AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token) > 0)
            {
                // It sends SHUT at most.
            }
        }
        catch (SocketException)
        {
            // Reset.
        }
    }
}
