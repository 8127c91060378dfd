namespace DataPlane.TestSupport;

/// <summary>What /proc says about this process's descriptors and threads.</summary>
internal static class Descriptors
{
    internal static int Count => Directory.GetFileSystemEntries("/proc/self/fd").Length;

    /// <summary>
    /// What those stand for that a migration uses: sockets, epoll sets, events, pipes. Files would count libraries that are just being
    /// loaded.
    /// </summary>
    internal static IReadOnlyList<string> Targets() =>
    [
        .. Directory.GetFileSystemEntries("/proc/self/fd")
            .Select(static fd => new FileInfo(fd).LinkTarget ?? "")
            .Where(static target => target.Contains(":[", StringComparison.Ordinal)),
    ];

    /// <summary>Whether a thread of this name runs; the kernel keeps 15 characters.</summary>
    internal static bool HasThread(string name)
    {
        foreach (var task in Directory.GetDirectories("/proc/self/task"))
        {
            try
            {
                if (File.ReadAllText(task + "/comm").TrimEnd() == name)
                {
                    return true;
                }
            }
            catch (IOException)
            {
                // Ended meanwhile.
            }
        }

        return false;
    }

    /// <summary>Descriptors that are in some epoll set of this process.</summary>
    internal static HashSet<int> EpollMembers()
    {
        HashSet<int> members = [];
        foreach (var file in Directory.GetFiles("/proc/self/fdinfo"))
        {
            try
            {
                members.UnionWith(File.ReadLines(file)
                    .Where(line => line.StartsWith("tfd:", StringComparison.Ordinal))
                    .Select(line => int.Parse(line[4..].TrimStart().Split(' ')[0], null)));
            }
            catch (IOException)
            {
                // Closed meanwhile by another test.
            }
        }

        return members;
    }
}
