using DataPlane.Linux;
using DataPlane.Tool.Control;

namespace DataPlane.Tool.Output;

/// <summary>
/// Where a path leads. A link is somebody's word for where to write, and it counts from this user and from root. Whoever writes uses the
/// path at the end alone: the one at the beginning may be another link by then.
/// </summary>
internal static class TrustedLinks
{
    private const int MaxLinks = 40; // as the kernel

    /// <summary>The open files of a process, whose links name no path: the kernel alone can follow them.</summary>
    private static readonly string[] s_openFiles = ["/proc/", "/dev/fd/"];

    /// <param name="path">A full path. Links among its folders are the kernel's to follow.</param>
    /// <returns>A path that was no link, and that need not exist.</returns>
    /// <exception cref="IOException">A link on the way belongs to another user, or there is no end of them.</exception>
    public static string Follow(string path)
    {
        for (var hop = 0; hop <= MaxLinks; hop++)
        {
            if (s_openFiles.Any(folder => path.StartsWith(folder, StringComparison.Ordinal))
                || !FileFacts.TryRead(path, out var facts) || facts.Kind != FileKind.Link)
            {
                return path;
            }

            if (!RuntimeFolder.IsTrusted(facts.Owner))
            {
                throw new IOException($"'{path}' is a link that belongs to another user (uid {facts.Owner})");
            }

            var target = new FileInfo(path).LinkTarget ?? throw new IOException($"'{path}' has changed");
            path = Path.Combine(Path.GetDirectoryName(path)!, target);
        }

        throw new IOException($"more than {MaxLinks} links");
    }
}
