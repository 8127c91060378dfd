using System.Net;

namespace DataPlane.Transport;

/// <summary>The order in which the addresses of a name are tried (RFC 8305 section 4).</summary>
internal static class AddressOrder
{
    /// <summary>The most addresses of a name that are tried; what a resolver returns beyond them is left out.</summary>
    public const int MaxAddresses = 32;

    /// <summary>
    /// Keeps the resolver's order within each address family and alternates between the families, beginning with that of the first address.
    /// So a network that drops the packets of one family costs one attempt only, however many addresses that family has.
    /// </summary>
    public static IReadOnlyList<IPAddress> Interleave(IEnumerable<IPAddress> resolved)
    {
        IPAddress[] all = [.. resolved.Distinct()];
        if (all.Length == 0)
        {
            return all;
        }

        var first = all[0].AddressFamily;
        IPAddress[] leading = [.. all.Where(address => address.AddressFamily == first)];
        IPAddress[] others = [.. all.Where(address => address.AddressFamily != first)];
        List<IPAddress> order = new(all.Length);
        for (var i = 0; i < Math.Max(leading.Length, others.Length); i++)
        {
            if (i < leading.Length)
            {
                order.Add(leading[i]);
            }

            if (i < others.Length)
            {
                order.Add(others[i]);
            }
        }

        return order.Count <= MaxAddresses ? order : order[..MaxAddresses];
    }
}
