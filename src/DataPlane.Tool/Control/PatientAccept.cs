using System.Net.Sockets;

namespace DataPlane.Tool.Control;

/// <summary>Accepts connections as long as there is a listener: one that failed, or that there was no descriptor for, ends no server.</summary>
internal static class PatientAccept
{
    /// <summary>As admission waits when descriptors are short.</summary>
    private static readonly TimeSpan s_backOff = TimeSpan.FromMilliseconds(100);

    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The listener was closed.</exception>
    public static async Task<Socket> AcceptAsync(Socket listener, TimeProvider time, CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                return await listener.AcceptAsync(cancellation).ConfigureAwait(false);
            }
            catch (SocketException)
            {
                // Too many open files (the connection waits in the backlog), or a client that has gone again already.
                await Task.Delay(s_backOff, time, cancellation).ConfigureAwait(false);
            }
        }
    }
}
