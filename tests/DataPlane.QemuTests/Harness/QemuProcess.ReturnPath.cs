using System.Diagnostics;

namespace DataPlane.QemuTests.Harness;

/// <content>When a source may be told to go on with a paused postcopy.</content>
internal sealed partial class QemuProcess
{
    private const string ReturnPathThread = "return path";
    private const string Futex = "202"; // the system call in which a thread waits for another

    /// <summary>
    /// QEMU up to 8.1 says that it has paused before the thread that reads its return path knows; told to go on in between, it gives that
    /// thread the new link, has it closed as the old one, and dies. Nothing but the thread itself shows when it has come to rest.
    /// </summary>
    private async Task WaitForReturnPathToRestAsync(CancellationToken token)
    {
        if (Options.Version != QemuVersion.V72)
        {
            return;
        }

        for (var patience = Stopwatch.StartNew(); !DoesReturnPathRest(); await Task.Delay(10, token))
        {
            if (patience.Elapsed > Patience.Default)
            {
                throw new TimeoutException($"{Name}: the thread '{ReturnPathThread}' reads on, after a pause");
            }
        }
    }

    private bool DoesReturnPathRest()
    {
        try
        {
            var thread = Directory.EnumerateDirectories($"/proc/{ProcessId}/task")
                .Single(thread => File.ReadAllText(Path.Combine(thread, "comm")).Trim() == ReturnPathThread);
            return SystemCallOf(thread) == Futex;
        }
        catch (IOException)
        {
            return false; // a thread that has just ended
        }
    }
}
