using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>The open descriptors that a guard needs. Each undecided connection holds one.</summary>
internal static class DescriptorLimit
{
    // Runtime, libraries, control socket, metrics, and a reserve.
    private const long OfTheProcess = 256;

    // Two sockets, and the two ends of a pipe in each direction.
    private const int PerChannel = 6;

    // Where TLS ends in the guard, the two ends of the decrypted stream come on top of the connection.
    private const int MoreInside = 2;

    /// <summary>The descriptors that the VMs hold when all their limits are reached.</summary>
    public static long Needed(IEnumerable<VmSettings> vms) =>
        OfTheProcess + vms.Sum(static vm =>
        {
            var more = vm.Tls.EndsHere ? MoreInside : 0;
            return ((long)(1 + more) * vm.MaxUndecided) + ((long)(PerChannel + more) * (SharedOptions.MaxChannels + 2));
        });
}
