using System.Globalization;

namespace DataPlane.Tool.Control;

/// <summary>
/// The folders of the control sockets of commands that were given no path. Each process has one socket, in a folder that only its user can
/// enter, so that <c>guard status</c> and <c>postcopy</c> find all of them.
/// </summary>
/// <remarks>
/// <code>
/// | folder                       | when                                        |
/// | $RUNTIME_DIRECTORY           | a service of systemd with RuntimeDirectory= |
/// | $XDG_RUNTIME_DIR/dataplane   | a user's session                            |
/// | /run/dataplane               | root                                        |
/// | /tmp/dataplane-USER          | else                                        |
/// </code>
/// </remarks>
internal static class ControlPaths
{
    private const string FolderName = "dataplane";
    private const string Suffix = ".sock";

    /// <summary>The kind of the sockets of guards.</summary>
    public const string Guard = "guard";

    /// <summary>The kind of the sockets of migrations that may be in postcopy.</summary>
    public const string Postcopy = "postcopy";

    /// <summary>The path of this process's own socket.</summary>
    /// <param name="kind">The beginning of the socket's name.</param>
    /// <param name="environment">Reads a variable of the environment.</param>
    public static string Own(string kind, Func<string, string?> environment)
    {
        var folder = Folders(environment).First();
        var name = string.Create(CultureInfo.InvariantCulture, $"{kind}-{Environment.ProcessId}{Suffix}");
        return Path.Combine(folder, name);
    }

    /// <summary>Finds the sockets of a kind that commands of this user may have left. Some of them may be dead.</summary>
    public static IReadOnlyList<string> Find(string kind, Func<string, string?> environment) =>
        [.. Folders(environment).Distinct().Where(RuntimeFolder.IsTrusted).SelectMany(folder => Sockets(folder, kind))
            .Order(StringComparer.Ordinal)];

    /// <summary>Whether a socket lies in one of the folders that commands find by themselves.</summary>
    public static bool IsRuntimeFolder(string socket) =>
        Folders(Environment.GetEnvironmentVariable).Contains(Path.GetDirectoryName(socket), StringComparer.Ordinal);

    public static IEnumerable<string> Folders(Func<string, string?> environment)
    {
        if (environment("RUNTIME_DIRECTORY") is { Length: > 0 } service)
        {
            yield return service.Split(':')[0];
        }

        if (environment("XDG_RUNTIME_DIR") is { Length: > 0 } session)
        {
            yield return Path.Combine(session, FolderName);
        }

        yield return Environment.IsPrivilegedProcess
            ? Path.Combine("/run", FolderName)
            : Path.Combine(Path.GetTempPath(), $"{FolderName}-{Environment.UserName}");
        // A service that runs as root keeps its sockets there, or one that lets this user in.
        yield return Path.Combine("/run", FolderName);
    }

    private static string[] Sockets(string folder, string kind)
    {
        try
        {
            return Directory.GetFiles(folder, $"{kind}-*{Suffix}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
