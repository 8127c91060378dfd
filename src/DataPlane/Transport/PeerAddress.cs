using System.Net;

namespace DataPlane.Transport;

/// <summary>
/// Whom one accepted connection comes from: an IP address and port, or the listener that a peer on a Unix socket came to. Comparable by
/// value.
/// </summary>
internal readonly record struct PeerAddress
{
    private readonly int _port;

    private PeerAddress(PeerGroup group, int port)
    {
        Group = group;
        _port = port;
    }

    /// <summary>What the other connections of the same peer have in common with this one.</summary>
    public PeerGroup Group { get; }

    public static PeerAddress Of(IPEndPoint endPoint) => new(PeerGroup.Of(endPoint.Address), endPoint.Port);

    /// <summary>A peer that has no address, because it came to the listener of a Unix socket.</summary>
    public static PeerAddress Of(ChannelAddress listener) => new(PeerGroup.Of(listener), 0);

    /// <summary>Address and port, an IPv6 address in brackets; or the listener.</summary>
    public override string ToString() =>
        Group.Address is { } address ? new IPEndPoint(address, _port).ToString() : Group.ToString();
}
