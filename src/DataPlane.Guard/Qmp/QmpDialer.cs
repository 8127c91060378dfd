using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Guard.Qmp;

/// <summary>Connects to a monitor's socket, with every form of address that channels support.</summary>
internal static class QmpDialer
{
    /// <exception cref="QmpException">Nobody listens there, or the connection does not come about in time.</exception>
    public static async Task<Socket> ConnectAsync(
        ChannelAddress address, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            ChannelOptions options = new() { ConnectTimeout = timeout };
            return new Socket(
                await ChannelDialer.ConnectSocketAsync(address, options, "monitor", 0, cancellationToken, time).ConfigureAwait(false));
        }
        catch (ChannelException e) when (address.IsUnix && e.Errno == Errno.ENOENT)
        {
            throw new QmpException($"cannot connect to the monitor {address}: there is no such socket", e);
        }
        catch (ChannelException e)
        {
            throw new QmpException($"no monitor: {e.Message}", e);
        }
    }
}
