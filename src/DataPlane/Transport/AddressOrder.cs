using System.Net;

namespace DataPlane.Transport;

/// <summary>The order in which the addresses of a name are tried (RFC 8305 section 4).</summary>
internal static class AddressOrder
{
    /// <summary>A name has few addresses; what a resolver says beyond this is left out.</summary>
    internal const int MaxAddresses = 32;

    /// <summary>
    /// Keeps the resolver's order within each family and takes the families in turn, beginning with that of the first address: a network
    /// that swallows one of the families costs one attempt then, however many addresses it has.
    /// </summary>
    internal static IReadOnlyList<IPAddress> Interleave(IEnumerable<IPAddress> resolved)
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
