using System.Net;
using System.Net.Sockets;
using Xunit;

namespace DataPlane.TestSupport;

/// <summary>Skips tests that this machine cannot run, with the reason.</summary>
internal static class Requires
{
    private static readonly Lazy<bool> s_ipv6 = new(() =>
    {
        try
        {
            using var socket = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    });

    /// <summary>Needed where <paramref name="address"/> is an IPv6 address.</summary>
    internal static void FamilyOf(string address) =>
        Assert.SkipUnless(!address.Contains("::", StringComparison.Ordinal) || s_ipv6.Value, "this machine has no IPv6 loopback");
}
