using DataPlane.Linux;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Forbids core dumps of a process through which the memory of guests goes: they would leave passwords and keys of whole machines on a
/// disk, or with a crash service. The kernel's switch for this (PR_SET_DUMPABLE) also forbids debuggers of the same user.
/// </summary>
/// <remarks>
/// From then on the files of the process in /proc belong to root. The process can still read its own, except for those that only their
/// owner may open. A command that reads its own <c>pagemap</c> therefore does not forbid dumps.
/// </remarks>
internal static class MemoryDumps
{
    /// <summary>The environment variable that keeps dumps and debuggers possible when it is 1.</summary>
    public const string Variable = "DATAPLANE_DUMPS";

    /// <summary>
    /// Whether dumps are forbidden: the command line may run a command that holds memory of guests, and the variable is not 1. The
    /// command's name counts wherever it stands, because the parser also takes one after the tool's own name.
    /// </summary>
    public static bool AreForbidden(IReadOnlyList<string> arguments, Func<string, string?> environment) =>
        arguments.Any(static word => word is "send" or "receive" or "guard") && environment(Variable) != "1";

    /// <summary>Forbids dumps of the whole process from now on. Has no effect where the kernel refuses.</summary>
    public static void Forbid() => _ = ProcessCalls.ControlProcess(ProcessCalls.SetDumpable, 0, 0, 0, 0);
}
