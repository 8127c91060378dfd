using System.Diagnostics;
using System.Globalization;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The destination of a bench on one machine: a separate process, as it would be on another machine. It ends when its standard input does,
/// so that it cannot outlive a bench that was killed.
/// </summary>
internal sealed class DestinationProcess : IAsyncDisposable
{
    public const string ListeningPrefix = "listening on ";

    private static readonly TimeSpan s_startTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_stopTimeout = TimeSpan.FromSeconds(5);

    private readonly Process _process;
    private readonly Task _reading;
    private readonly TaskCompletionSource<ChannelAddress> _address = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile string _lastLine = "it said nothing";

    private DestinationProcess(Process process, Action<string> tell)
    {
        _process = process;
        _reading = ReadLinesAsync(tell);
    }

    /// <summary>The address at which the process listens; fails when the process ends before it listens.</summary>
    public Task<ChannelAddress> Address => _address.Task;

    /// <summary>Starts the process and waits until it listens.</summary>
    /// <param name="maxRamBytes">The most memory that the process may take, in bytes.</param>
    /// <param name="tls">The TLS options of the command line, for the process to use as well.</param>
    /// <param name="tell">Gets every line of the process's stderr except the address at which it listens.</param>
    /// <exception cref="CommandException">The process did not start, or did not listen in time.</exception>
    public static async Task<DestinationProcess> StartAsync(
        long maxRamBytes, IReadOnlyList<string> tls, Action<string> tell, CancellationToken cancellation)
    {
        var start = OwnProgram();
        var maxRam = maxRamBytes.ToString(CultureInfo.InvariantCulture);
        ReadOnlySpan<string> arguments = ["serve", "--listen", "127.0.0.1:0", "--max-ram", maxRam, "--until-eof", "--quiet"];
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var argument in tls)
        {
            start.ArgumentList.Add(argument);
        }

        start.RedirectStandardInput = true;
        start.RedirectStandardError = true;
        var process = Process.Start(start) ?? throw new CommandException("cannot start the destination process");
        var destination = new DestinationProcess(process, tell);
        try
        {
            await destination.Address.WaitAsync(s_startTimeout, cancellation).ConfigureAwait(false);
            return destination;
        }
        catch (Exception exception)
        {
            await destination.DisposeAsync().ConfigureAwait(false);
            if (exception is TimeoutException)
            {
                throw new CommandException(
                    $"the destination process did not listen within {s_startTimeout.TotalSeconds:0} s: {destination._lastLine}");
            }

            throw;
        }
    }

    /// <summary>The command that starts this program again: a native or app-host executable, or an assembly under dotnet.</summary>
    private static ProcessStartInfo OwnProgram()
    {
        var executable = Environment.ProcessPath;
        if (executable is not null && Path.GetFileNameWithoutExtension(executable) == "dataplane")
        {
            return new ProcessStartInfo(executable);
        }

        var isDotnet = executable is not null && Path.GetFileNameWithoutExtension(executable) == "dotnet";
        return new ProcessStartInfo(isDotnet ? executable! : "dotnet")
        {
            ArgumentList = { Path.Combine(AppContext.BaseDirectory, "dataplane.dll") },
        };
    }

    private async Task ReadLinesAsync(Action<string> tell)
    {
        while (await _process.StandardError.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            _lastLine = line;
            if (!line.StartsWith(ListeningPrefix, StringComparison.Ordinal))
            {
                tell($"destination: {line}");
            }
            else if (ChannelAddress.TryParse(line[ListeningPrefix.Length..], out var address, out _))
            {
                _address.TrySetResult(address);
            }
        }

        _address.TrySetException(new CommandException($"the destination process ended: {OneLine.Of(_lastLine)}"));
    }

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        using var deadline = new CancellationTokenSource(s_stopTimeout);
        try
        {
            await _process.WaitForExitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        }

        await _reading.ConfigureAwait(false);
        // An address that failed while nobody waited for it counts as observed.
        _ = _address.Task.Exception;
        _process.Dispose();
    }
}
