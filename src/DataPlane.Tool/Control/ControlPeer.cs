using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Control;

/// <summary>Whose process is at the other end of a Unix socket, as the kernel recorded it when the two met (SO_PEERCRED).</summary>
internal static class ControlPeer
{
    private const int PeerCredentials = 17;

    /// <summary>Process, user and group.</summary>
    private const int CredentialsBytes = 3 * sizeof(int);

    /// <summary>The number of the user of the process that connected, or that began to listen.</summary>
    public static uint UserOf(Socket socket)
    {
        Span<int> credentials = stackalloc int[CredentialsBytes / sizeof(int)];
        socket.GetRawSocketOption(Libc.LevelSocket, PeerCredentials, MemoryMarshal.AsBytes(credentials));
        return (uint)credentials[1];
    }

    /// <summary>Refuses to talk to a socket of another user: its answers would be taken for those of a command of ours.</summary>
    /// <remarks>
    /// Root may ask a service that runs as a user of its own: the service's folder can only be made by root, and what it answers is checked
    /// and escaped like all text from outside.
    /// </remarks>
    /// <exception cref="CommandException">It belongs to somebody else.</exception>
    public static void Check(Socket socket, string path)
    {
        var user = UserOf(socket);
        if (!RuntimeFolder.IsTrusted(user) && !Environment.IsPrivilegedProcess)
        {
            throw new CommandException($"{path}: a process of another user (number {user}) answers there, not one of yours");
        }
    }
}
