using System.Net;

namespace DataPlane.Transport;

/// <summary>
/// Whom a connection comes from, as far as that is the same for all of a peer's connections: an IP address, because a port tells nothing;
/// or the listener that peers on a Unix socket came to, because they have no address. Comparable by value.
/// </summary>
internal readonly record struct PeerGroup
{
    private readonly ChannelAddress? _listener;

    private PeerGroup(IPAddress? address, ChannelAddress? listener)
    {
        Address = address;
        _listener = listener;
    }

    /// <summary>The peer's address, an IPv4 one never in its IPv6 form; <see langword="null"/> for Unix sockets.</summary>
    public IPAddress? Address { get; }

    /// <summary>
    /// All connections from an address. A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d, but users and their rules mean the IPv4
    /// address.
    /// </summary>
    public static PeerGroup Of(IPAddress address) => new(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address, null);

    /// <summary>All connections to a listener that shows no addresses.</summary>
    public static PeerGroup Of(ChannelAddress listener) => new(null, listener);

    /// <summary>The address without brackets, or the listener.</summary>
    public override string ToString() => Address?.ToString() ?? _listener?.ToString() ?? "";
}
