using DataPlane.Linux;
using DataPlane.Tool.Control;

namespace DataPlane.Tool.Output;

/// <summary>
/// Finds where a path leads. A link decides where somebody writes, so only links of this user and of root count. Whoever writes must use
/// the resulting path only: the path at the beginning may be another link by then.
/// </summary>
internal static class TrustedLinks
{
    private const int MaxLinks = 40; // as many as the kernel follows

    /// <summary>The folders of a process's open files. Their links name no path, and only the kernel can follow them.</summary>
    private static readonly string[] s_openFiles = ["/proc/", "/dev/fd/"];

    /// <param name="path">A full path. The kernel follows the links among its folders.</param>
    /// <returns>A path that was no link, and that need not exist.</returns>
    /// <exception cref="IOException">A link on the way belongs to another user, or there are too many links.</exception>
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
