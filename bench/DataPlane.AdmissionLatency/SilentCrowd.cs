using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace DataPlane.AdmissionLatency;

/// <summary>Silent connections in a process of their own, so that their memory and CPU are not ours.</summary>
internal sealed class SilentCrowd : IAsyncDisposable
{
    private readonly Process _process;

    private SilentCrowd(Process process) => _process = process;

    public static async Task<SilentCrowd> StartAsync(int count, int port, CancellationToken token)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            ArgumentList = { "hold", $"{count}", $"{port}" },
        };
        var process = Process.Start(start)!;
        if (await process.StandardOutput.ReadLineAsync(token) != "held")
        {
            await process.WaitForExitAsync(token);
            throw new InvalidOperationException(
                $"cannot hold {count} connections (exit code {process.ExitCode}); is the descriptor limit too low?");
        }

        return new SilentCrowd(process);
    }

    /// <summary>The other process: connects from several loopback addresses, says so, and waits for the end of its input.</summary>
    public static int Hold(int count, int port)
    {
        var sockets = new List<Socket>(count);
        for (var i = 0; i < count; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(new IPAddress([127, 0, 1, (byte)(1 + (i % 16))]), 0));
            socket.Connect(IPAddress.Loopback, port);
            sockets.Add(socket);
        }

        Console.WriteLine("held");
        _ = Console.In.ReadToEnd();
        sockets.ForEach(static socket => socket.Dispose());
        return 0;
    }

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
