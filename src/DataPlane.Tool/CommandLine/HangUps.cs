using System.Runtime.InteropServices;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// SIGHUP, which a closed terminal sends. Most commands take it as a request to stop. A command on which a running guest depends goes on
/// without its terminal (<see cref="Survive"/>), and SIGTERM still stops it.
/// </summary>
internal static class HangUps
{
    private static int s_surviving;

    /// <summary>Whether SIGHUP stops nothing, because somebody has called <see cref="Survive"/>.</summary>
    public static bool AreSurvived => Volatile.Read(ref s_surviving) != 0;

    /// <summary>Whether the process was started with SIGHUP ignored (by nohup, or as a service). A registration would undo that.</summary>
    public static bool AreIgnoredBySystem { get; } = IsIgnored();

    /// <summary>Makes SIGHUP stop nothing until the result is disposed of.</summary>
    public static IDisposable Survive()
    {
        Interlocked.Increment(ref s_surviving);
        return new Scope();
    }

    private static bool IsIgnored()
    {
        const ulong HangUp = 1; // bit of signal 1
        try
        {
            string? line = File.ReadLines("/proc/self/status").FirstOrDefault(
                static line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
            return line is not null && (Convert.ToUInt64(line["SigIgn:".Length..].Trim(), 16) & HangUp) != 0;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private sealed class Scope : IDisposable
    {
        private readonly PosixSignalRegistration? _registration = AreIgnoredBySystem ? null
            : PosixSignalRegistration.Create(PosixSignal.SIGHUP, static signal => signal.Cancel = true);

        private int _disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) != 0)
            {
                return;
            }

            _registration?.Dispose();
            Interlocked.Decrement(ref s_surviving);
        }
    }
}
