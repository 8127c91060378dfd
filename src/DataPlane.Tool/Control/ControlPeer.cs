using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Control;

/// <summary>
/// Tells whose process is at the other end of a Unix socket, as the kernel recorded it when the two connected (SO_PEERCRED).
/// </summary>
internal static class ControlPeer
{
    private const int PeerCredentials = 17;

    /// <summary>The size of the kernel's answer: process, user and group.</summary>
    private const int CredentialsBytes = 3 * sizeof(int);

    /// <summary>The user number of the process that connected, or that began to listen.</summary>
    public static uint UserOf(Socket socket)
    {
        Span<int> credentials = stackalloc int[CredentialsBytes / sizeof(int)];
        socket.GetRawSocketOption(SocketCalls.LevelSocket, PeerCredentials, MemoryMarshal.AsBytes(credentials));
        return (uint)credentials[1];
    }

    /// <summary>Refuses a socket of another user, whose answers would be taken for those of a command of this user.</summary>
    /// <remarks>
    /// Root may ask a service that runs as another user: only root can have made the service's folder, and the answers are checked and
    /// escaped like all text from outside.
    /// </remarks>
    /// <exception cref="CommandException">The socket belongs to another user.</exception>
    public static void Check(Socket socket, string path)
    {
        var user = UserOf(socket);
        if (!RuntimeFolder.IsTrusted(user) && !Environment.IsPrivilegedProcess)
        {
            throw new CommandException($"{path}: a process of another user (number {user}) answers there, not one of yours");
        }
    }
}
