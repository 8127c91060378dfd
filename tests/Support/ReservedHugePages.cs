using System.Globalization;
using DataPlane.Linux;

namespace DataPlane.TestSupport;

/// <summary>
/// Huge pages that the system reserves for one test, beside those that it has, and takes back at its end. Who may not have any is skipped
/// with the reason; in CI that is a failure for who may set the number.
/// </summary>
internal sealed class ReservedHugePages : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly string _folder;
    private readonly long _taken;

    private ReservedHugePages(string folder, long taken)
    {
        _folder = folder;
        _taken = taken;
    }

    /// <summary>Room for <paramref name="bytes"/> of guest memory on pages of 2 MiB.</summary>
    internal static ReservedHugePages For(long bytes)
    {
        if (TryReserve(MemoryMapping.HugePageSize, bytes) is { } reserved)
        {
            return reserved;
        }

        var pages = bytes / MemoryMapping.HugePageSize;
        Xunit.Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", $"the system has no {pages} huge pages to reserve");
        throw new InvalidOperationException($"the system has no {pages} huge pages to reserve");
    }

    /// <summary>
    /// Room for <paramref name="bytes"/> of guest memory on pages of 1 GiB, for which a system that has run for a while may have no place
    /// left in one piece: the test is skipped then.
    /// </summary>
    internal static ReservedHugePages ForGigantic(long bytes)
    {
        var reserved = TryReserve(1L << 30, bytes);
        Xunit.Assert.SkipWhen(reserved is null, "the system has no page of 1 GiB to reserve");
        return reserved!;
    }

    /// <summary>
    /// Takes away the huge pages of 2 MiB that nobody uses, until the end of the test: the machine may have some beside those that tests
    /// reserve, and a test run that was killed leaves its own behind.
    /// </summary>
    internal static ReservedHugePages TakeUnused()
    {
        var folder = FolderOf(MemoryMapping.HugePageSize);
        using (Turn())
        {
            var unused = ReadNumber(folder + "free_hugepages") - ReadNumber(folder + "resv_hugepages");
            Write(folder, Read(folder) - unused);
            return new ReservedHugePages(folder, -unused);
        }
    }

    private static string FolderOf(long pageSize) => $"/sys/kernel/mm/hugepages/hugepages-{pageSize >> 10}kB/";

    private static ReservedHugePages? TryReserve(long pageSize, long bytes)
    {
        var folder = FolderOf(pageSize);
        var pages = (bytes + pageSize - 1) / pageSize;
        try
        {
            using (Turn())
            {
                var before = Read(folder);
                Write(folder, before + pages);
                if (Read(folder) >= before + pages)
                {
                    return new ReservedHugePages(folder, pages);
                }

                Write(folder, before);
                return null;
            }
        }
        catch (Exception refused) when (refused is UnauthorizedAccessException or IOException)
        {
            Xunit.Assert.Skip($"huge pages cannot be reserved: {refused.Message}");
            return null;
        }
    }

    public void Dispose()
    {
        using (Turn())
        {
            Write(_folder, Math.Max(Read(_folder) - _taken, 0));
        }
    }

    private static long Read(string folder) => ReadNumber(folder + "nr_hugepages") - ReadNumber(folder + "surplus_hugepages");

    private static long ReadNumber(string file) => long.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture);

    private static void Write(string folder, long pages) =>
        File.WriteAllText(folder + "nr_hugepages", pages.ToString(CultureInfo.InvariantCulture));

    /// <summary>Several test processes may reserve at a time; each changes the number by what it needs.</summary>
    private static FileStream Turn()
    {
        var path = Path.Combine(Path.GetTempPath(), "dataplane-tests-huge-pages");
        for (var started = TimeProvider.System.GetTimestamp(); ;)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(path) && TimeProvider.System.GetElapsedTime(started) < s_patience)
            {
                Thread.Sleep(10); // another process has its turn; nothing tells when it is over
            }
        }
    }
}
