using DataPlane.Linux;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Control;

/// <summary>
/// The folders of control sockets. Whoever can put a socket into one answers in place of this user's commands. A folder therefore counts
/// only when it belongs to this user or to root, and nobody else may write in it: anybody may have made a folder of that name in /tmp.
/// </summary>
internal static class RuntimeFolder
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode WritableForOthers = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    /// <summary>Whether a user is root or this user; each of them can do to this process what it wants anyway.</summary>
    public static bool IsTrusted(uint user) => user == 0 || user == ProcessCalls.GetEffectiveUser();

    /// <summary>Whether the sockets in a folder can be trusted.</summary>
    /// <remarks>Root also trusts the folder of a service that runs as another user, where only root can have made that folder.</remarks>
    public static bool IsTrusted(string folder) =>
        FileFacts.TryRead(folder, out var facts)
        && (WhyNot(facts) is null
            || (Environment.IsPrivilegedProcess && WhyNot(facts with { Owner = 0 }) is null
                && FileFacts.TryRead(Path.GetDirectoryName(folder) ?? "/", out var parent) && WhyNot(parent) is null));

    /// <summary>Makes the folder where it is missing, for this user only.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="isOwn">
    /// Whether it is one of the folders that commands find by themselves, which must belong to the right user. The caller has chosen any
    /// other one.
    /// </param>
    /// <exception cref="CommandException">The folder cannot be trusted.</exception>
    /// <exception cref="IOException">The folder cannot be made.</exception>
    public static void Prepare(string folder, bool isOwn)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("The rights of a folder are Unix file modes.");
        }

        if (!FileFacts.TryRead(folder, out var facts))
        {
            Directory.CreateDirectory(folder, OwnerOnly);
            // Somebody else may have made it meanwhile.
            if (!FileFacts.TryRead(folder, out facts))
            {
                throw new IOException($"the folder {folder} cannot be looked at");
            }
        }

        if (isOwn && WhyNot(facts) is { } reason)
        {
            throw new CommandException($"{folder} {reason}: nothing in it can be trusted; remove it, or give a path of your own");
        }
    }

    private static string? WhyNot(FileFacts facts) =>
        facts.Kind != FileKind.Directory ? "is no folder"
        : !IsTrusted(facts.Owner) ? $"belongs to another user (number {facts.Owner})"
        : (facts.Permissions & WritableForOthers) != 0 ? "may be written by others"
        : null;
}
