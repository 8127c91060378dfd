namespace DataPlane.QemuTests.Harness;

/// <content>The thread that reads the preempt channel at a destination.</content>
internal sealed partial class QemuProcess
{
    private const string Running = "running";
    private static readonly string[] s_preemptThreads = ["mig/dst/preempt", "fault-fast"];
    private static readonly string[] s_mainThreads = ["mig/dst/listen", "postcopy/listen"];

    // A thread that runs, or waits for a core, has no system call to show.
    private static readonly string[] s_reads = ["0", "7", "45", "47", "271"]; // read, poll, recvfrom, recvmsg, ppoll

    /// <summary>
    /// Whether a link can be lost without killing a destination with preempt (7.2 to 11.1): when the thread reads its channel. Between its
    /// start at the switch, or its wake-up at the end of a recovery, and that QEMU would close the channel under it.
    /// </summary>
    public bool ReadsPreempt => Look(ThreadsOf(s_preemptThreads), s_reads.Contains);

    /// <summary>
    /// The same where main stands still at a byte, perhaps before the end of the recovery: neither that thread nor the one that reads main
    /// has anything to do.
    /// </summary>
    public bool PreemptRests => Look(ThreadsOf([.. s_preemptThreads, .. s_mainThreads]), static call => call != Running);

    /// <summary>Lets that thread have a core only when nobody else wants it, and keeps the core busy. Dispose ends both.</summary>
    public async Task<IAsyncDisposable> SlowPreemptAsync(CancellationToken token)
    {
        var thread = Path.GetFileName(ThreadsOf(s_preemptThreads).Single());
        await RunAsync(["chrt", "--idle", "--pid", "0", thread], token);
        await RunAsync(["taskset", "--cpu-list", "--pid", "0", thread], token);
        var busy = await ChildProcess.StartAsync("busy", "taskset", ["--cpu-list", "0", "sh", "-c", "while :; do :; done"]);
        return new SlowThread(thread, busy);
    }

    private IEnumerable<string> ThreadsOf(string[] names) => Directory.EnumerateDirectories($"/proc/{ProcessId}/task").Where(
        thread => names.Contains(File.ReadAllText(Path.Combine(thread, "comm")).Trim()));

    private static bool Look(IEnumerable<string> threads, Func<string, bool> match)
    {
        try
        {
            return threads.All(thread => match(SystemCallOf(thread)));
        }
        catch (IOException)
        {
            return true; // QEMU has ended, or a thread just has
        }
    }

    private static string SystemCallOf(string thread) => File.ReadAllText(Path.Combine(thread, "syscall")).Split(' ')[0].Trim();

    private static async Task RunAsync(string[] command, CancellationToken token)
    {
        await using var process = await ChildProcess.StartAsync(command[0], command[0], command[1..]);
        if (await process.WaitForExitAsync(token: token) is not 0 and var code)
        {
            throw new InvalidOperationException($"{string.Join(' ', command)}: {code}: {string.Join(" | ", process.Errors.Snapshot())}");
        }
    }

    private sealed class SlowThread(string thread, ChildProcess busy) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await busy.DisposeAsync();
            if (!Directory.Exists($"/proc/{thread}"))
            {
                return; // it died with its QEMU
            }

            await RunAsync(["chrt", "--other", "--pid", "0", thread], CancellationToken.None);
            await RunAsync(["taskset", "--cpu-list", "--pid", $"0-{Environment.ProcessorCount - 1}", thread], CancellationToken.None);
        }
    }
}
