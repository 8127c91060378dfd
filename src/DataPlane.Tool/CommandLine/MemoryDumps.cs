using DataPlane.Linux;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Core dumps of a process through which the memory of guests goes: passwords and keys of whole machines would lie on a disk, or with a
/// crash service. Such a command forbids them to the kernel (PR_SET_DUMPABLE), and with them debuggers of the same user.
/// </summary>
/// <remarks>
/// The files of the process in /proc are root's from then on, which its own reading of them does not mind, but for those that only their
/// owner may open: a command that reads its <c>pagemap</c> is none of these.
/// </remarks>
internal static class MemoryDumps
{
    /// <summary>Environment variable that keeps dumps and debuggers possible when it is 1.</summary>
    public const string Variable = "DATAPLANE_DUMPS";

    /// <summary>
    /// Whether a command line may run a command that holds memory of guests and nobody wants to see it. The command's word counts wherever
    /// it stands: the parser also takes one after the tool's own name.
    /// </summary>
    public static bool AreForbidden(IReadOnlyList<string> arguments, Func<string, string?> environment) =>
        arguments.Any(static word => word is "send" or "receive" or "guard") && environment(Variable) != "1";

    /// <summary>For the whole process, from now on. Without effect where the kernel refuses.</summary>
    public static void Forbid() => _ = Libc.ControlProcess(Libc.SetDumpable, 0, 0, 0, 0);
}
