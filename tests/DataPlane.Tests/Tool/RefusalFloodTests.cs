using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>Strangers of whom each leaves a line, and nobody who reads the lines.</summary>
public sealed class RefusalFloodTests : IDisposable
{
    // Far more than fit into a pipe, at the length of a warning; and than the console's logger keeps.
    private const int Strangers = 4000;

    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
    private Process? _receive;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (_receive is { HasExited: false })
        {
            _receive.Kill();
        }

        _receive?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData]
    [InlineData("--verbose")]
    [InlineData("--log-json")]
    public async Task Refusals_do_not_wait_for_a_reader_of_stderr(params string[] options)
    {
        var address = await StartAsync(options);

        for (var i = 0; i < Strangers; i++)
        {
            using var stranger = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await stranger.ConnectAsync(address, Token);
            await stranger.SendAsync(new byte[] { 0x16, 0x03 }, Token);
            await ClosedAsync(stranger).WaitAsync(TimeSpan.FromMinutes(1), Token);
        }

        using var kill = Process.Start("/bin/kill", ["-TERM", _receive!.Id.ToString(CultureInfo.InvariantCulture)]);
        var rest = _receive.StandardError.ReadToEndAsync(Token);
        await _receive.WaitForExitAsync(Token);
        var lines = (await rest).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.InRange(lines.Length, 1, 200);
        Assert.Contains(lines, line => line.Contains("more were refused", StringComparison.Ordinal));
    }

    private static async Task ClosedAsync(Socket stranger)
    {
        try
        {
            while (await stranger.ReceiveAsync(new byte[16], Token) > 0)
            {
                // It says nothing.
            }
        }
        catch (SocketException)
        {
            // Reset: refused as well.
        }
    }

    private async Task<IPEndPoint> StartAsync(string[] options)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), "receive",
            "--listen", "127.0.0.1:0", "--out", Path.Combine(_folder, "vm"), .. options])
        {
            start.ArgumentList.Add(argument);
        }

        _receive = Process.Start(start)!;
        while (await _receive.StandardError.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith("listening on ", StringComparison.Ordinal))
            {
                return IPEndPoint.Parse(line["listening on ".Length..]);
            }
        }

        throw new EndOfStreamException("it does not listen");
    }
}
