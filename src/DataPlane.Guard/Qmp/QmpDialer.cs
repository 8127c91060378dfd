using System.Net;
using System.Net.Sockets;
using DataPlane.Transport;

namespace DataPlane.Guard.Qmp;

/// <summary>Connects to a monitor's socket.</summary>
internal static class QmpDialer
{
    /// <exception cref="QmpException">Nobody listens there, or not in time.</exception>
    internal static async Task<Socket> ConnectAsync(
        ChannelAddress address, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        EndPoint remote = address.IsUnix ? new UnixDomainSocketEndPoint(address.Path)
            : new DnsEndPoint(address.Host.Length == 0 ? "localhost" : address.Host, address.Port);
        Socket socket = address.IsUnix ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(remote, cancellationToken).AsTask().WaitAsync(timeout, time, cancellationToken).ConfigureAwait(false);
            return socket;
        }
        catch (Exception e) when (e is SocketException or TimeoutException)
        {
            socket.Dispose();
            throw new QmpException($"cannot connect to the monitor {address}: {Reason(address, e)}", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The runtime says "Cannot assign requested address" of a path at which nothing is.</summary>
    private static string Reason(ChannelAddress address, Exception failure) =>
        address.IsUnix && !Path.Exists(address.Path) ? "there is no such socket" : failure.Message;
}
