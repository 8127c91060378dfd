using System.Globalization;

namespace DataPlane.Tool.Control;

/// <summary>
/// Where commands keep their control sockets when they are not told: one per process in a folder that only its user can enter, so that
/// <c>guard status</c> and <c>postcopy</c> find all of them.
/// </summary>
/// <remarks>
/// | folder                       | when                                        |
/// | $RUNTIME_DIRECTORY           | a service of systemd with RuntimeDirectory= |
/// | $XDG_RUNTIME_DIR/dataplane   | a user's session                            |
/// | /run/dataplane               | root                                        |
/// | /tmp/dataplane-USER          | else                                        |
/// </remarks>
internal static class ControlPaths
{
    private const string FolderName = "dataplane";
    private const string Suffix = ".sock";

    /// <summary>Sockets of guards.</summary>
    public const string Guard = "guard";

    /// <summary>Sockets of migrations that may be in postcopy.</summary>
    public const string Postcopy = "postcopy";

    /// <summary>The socket of this process.</summary>
    /// <param name="kind">What the name begins with.</param>
    /// <param name="environment">The environment's variables.</param>
    public static string Own(string kind, Func<string, string?> environment)
    {
        var folder = Folders(environment).First();
        var name = string.Create(CultureInfo.InvariantCulture, $"{kind}-{Environment.ProcessId}{Suffix}");
        return Path.Combine(folder, name);
    }

    /// <summary>Sockets of a kind that commands of this user may have left; some may be dead.</summary>
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
        // A service that runs as root, or lets this user in.
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
