using System.Net.Sockets;

namespace DataPlane.Tool.Control;

/// <summary>
/// Accepts connections as long as there is a listener. A connection that failed, or that found no free descriptor, ends no server.
/// </summary>
internal static class PatientAccept
{
    /// <summary>The pause when descriptors are short, which is the same in admission.</summary>
    private static readonly TimeSpan s_backOff = TimeSpan.FromMilliseconds(100);

    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
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
                // Too many files are open (the connection waits in the backlog), or the client has gone again already.
                await Task.Delay(s_backOff, time, cancellation).ConfigureAwait(false);
            }
        }
    }
}
