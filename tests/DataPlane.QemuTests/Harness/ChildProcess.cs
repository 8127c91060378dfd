using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DataPlane.QemuTests.Harness;

/// <summary>A process that ends with its owner: at dispose, and by the kernel when the test process ends in any way.</summary>
internal sealed partial class ChildProcess : IAsyncDisposable
{
    public const int Interrupt = 2;
    public const int Terminate = 15;
    public const int Continue = 18;
    public const int Stop = 19;

    private const int Signals = 128;
    private const int LastSignal = 64;

    // The kernel sends the death signal when the *thread* that forked ends, so all children are started by one thread that never does.
    private static readonly BlockingCollection<Action> s_starts = StartLauncher();

    private readonly Process _process;
    private readonly Task _pumps;
    private bool _disposed;
    private string _endingBefore = "";

    private ChildProcess(Process process, string name)
    {
        _process = process;
        Output = new Journal<string>($"stdout of {name}");
        Errors = new Journal<string>($"stderr of {name}");
        _pumps = Task.WhenAll(PumpAsync(process.StandardOutput, Output), PumpAsync(process.StandardError, Errors));
    }

    public int Id => _process.Id;

    public bool HasExited => _disposed || _process.HasExited;

    /// <summary>For a failed test's output: ", exited with 1", ", ended by SIGSEGV", or nothing while it runs.</summary>
    public string Ending => _disposed ? _endingBefore : !_process.HasExited ? "" : _process.ExitCode switch
    {
        // The runtime says 128 + n for a signal n, as a shell does.
        Signals + 6 => ", ended by SIGABRT",
        Signals + 7 => ", ended by SIGBUS",
        Signals + 9 => ", ended by SIGKILL",
        Signals + 11 => ", ended by SIGSEGV",
        Signals + 13 => ", ended by SIGPIPE",
        > Signals and <= Signals + LastSignal and var code => $", ended by signal {code - Signals}",
        var code => $", exited with {code}",
    };

    public Journal<string> Output { get; }

    public Journal<string> Errors { get; }

    public static async Task<ChildProcess> StartAsync(string name, string file, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("setpriv")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // A runner started in the background has SIGINT ignored, which children inherit: the default is put back.
        foreach (var argument in (string[])["--pdeathsig", "KILL", "--", "env", "--default-signal=INT,QUIT", file, .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        s_starts.Add(() =>
        {
            try
            {
                started.SetResult(Process.Start(start)!);
            }
            catch (Exception error) when (error is System.ComponentModel.Win32Exception or InvalidOperationException)
            {
                started.SetException(error);
            }
        });
        var process = await started.Task.WaitAsync(Patience.Default);
        process.StandardInput.Close();
        return new ChildProcess(process, name);
    }

    /// <summary>The exit code, after everything that the process has written is in the journals; 128 + n for a signal n.</summary>
    public async Task<int> WaitForExitAsync(TimeSpan? timeout = null, CancellationToken token = default)
    {
        await _process.WaitForExitAsync(token).WaitAsync(timeout ?? Patience.Default, token);
        await _pumps.WaitAsync(timeout ?? Patience.Default, token);
        return _process.ExitCode;
    }

    public void Signal(int signal)
    {
        if (Kill(_process.Id, signal) != 0)
        {
            throw new System.ComponentModel.Win32Exception(Marshal.GetLastPInvokeError());
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_disposed)
        {
            return;
        }

        _endingBefore = _process.HasExited ? Ending : ", ended by the test";
        _disposed = true;
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }
        // Bounded: a process that cannot be ended is one failure, not a suite that stands still.
        await _process.WaitForExitAsync().WaitAsync(Patience.Default);
        await _pumps.WaitAsync(Patience.Default);
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);

    private static BlockingCollection<Action> StartLauncher()
    {
        var starts = new BlockingCollection<Action>();
        new Thread(() =>
        {
            foreach (var start in starts.GetConsumingEnumerable())
            {
                start();
            }
        })
        { Name = "launcher", IsBackground = true }.Start();
        return starts;
    }

    private static async Task PumpAsync(StreamReader reader, Journal<string> journal)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            journal.Add(line);
        }

        journal.End();
    }
}
