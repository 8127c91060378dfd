using System.Net;

namespace DataPlane.Transport;

/// <summary>
/// Keeps the address of a host that has answered, for all other connections of one migration: a name may stand for several machines, and
/// only one of them has the guest. Thread-safe.
/// </summary>
internal sealed class HostRoute
{
    private volatile Known? _known;

    /// <summary>
    /// The end point at which <paramref name="address"/> is to be reached; null if no connection to its host has been made.
    /// </summary>
    public IPEndPoint? Find(ChannelAddress address) =>
        !address.IsUnix && _known is { } known && string.Equals(known.Host, address.Host, StringComparison.OrdinalIgnoreCase)
            ? new IPEndPoint(known.Address, address.Port) : null;

    /// <summary>Keeps the address at which the host has answered.</summary>
    public void Keep(ChannelAddress address, EndPoint reached)
    {
        if (reached is IPEndPoint ip)
        {
            _known = new Known(address.Host, ip.Address);
        }
    }

    private sealed record Known(string Host, IPAddress Address);
}
