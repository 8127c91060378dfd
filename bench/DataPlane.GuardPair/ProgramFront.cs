using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>A relay that is called with a port to listen on and a port to connect to.</summary>
/// <param name="file">The program.</param>
/// <param name="arguments">Its arguments, from both ports: where it listens, where it connects to.</param>
internal sealed class ProgramFront(string file, Func<int, int, string[]> arguments) : IFront
{
    // USER_HZ, which is 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;
    private ChildProcess? _process;

    /// <summary>socat has a child for each connection, which counts when it has ended.</summary>
    public double CpuSeconds
    {
        get
        {
            if (_process is not { } process)
            {
                return 0;
            }

            for (var patience = Stopwatch.StartNew(); HasChildren(process.Id) && patience.Elapsed < TimeSpan.FromSeconds(5);)
            {
                Thread.Sleep(5);
            }

            var stat = File.ReadAllText($"/proc/{process.Id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture)) / TicksPerSecond;
        }
    }

    public async Task<string> StartAsync(QemuProcess destination, CancellationToken token)
    {
        var to = await destination.StartIncomingAsync("tcp:127.0.0.1:0", token);
        var port = FreePort();
        _process = await ChildProcess.StartAsync(
            file, file, arguments(port, int.Parse(to[(to.LastIndexOf(':') + 1)..], CultureInfo.InvariantCulture)));
        // It cannot be tried out: the connection would be QEMU's first.
        for (var patience = Stopwatch.StartNew(); !IsListening(port);)
        {
            if (_process.HasExited || patience.Elapsed > Patience.Default)
            {
                throw new InvalidOperationException($"{file} does not listen: {string.Join(" | ", _process.Errors.Snapshot())}");
            }

            await Task.Delay(20, token);
        }

        return $"tcp:127.0.0.1:{port}";
    }

    public ValueTask DisposeAsync() => _process?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private static bool IsListening(int port) =>
        IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(listener => listener.Port == port);

    private static bool HasChildren(int process) => File.ReadAllText($"/proc/{process}/task/{process}/children").Length > 0;
}
