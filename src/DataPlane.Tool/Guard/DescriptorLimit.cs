using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>Open descriptors that a guard needs: each undecided connection holds one.</summary>
internal static class DescriptorLimit
{
    // Runtime, libraries, control socket, metrics, and some air.
    private const long OfTheProcess = 256;

    // Two sockets, and two ends of a pipe in each direction.
    private const int PerChannel = 6;

    // Where TLS ends here: the two ends of what is inside, beside the connection.
    private const int MoreInside = 2;

    /// <summary>Descriptors that the VMs may hold at their limits.</summary>
    public static long Needed(IEnumerable<VmSettings> vms) =>
        OfTheProcess + vms.Sum(static vm =>
        {
            var more = vm.Tls.EndsHere ? MoreInside : 0;
            return ((long)(1 + more) * vm.MaxUndecided) + ((long)(PerChannel + more) * (SharedOptions.MaxChannels + 2));
        });
}
