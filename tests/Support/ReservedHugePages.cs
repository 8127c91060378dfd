using System.Globalization;
using DataPlane.Linux;

namespace DataPlane.TestSupport;

/// <summary>
/// Huge pages that the system reserves for one test, beside those that it has, and takes back at its end. Who may not have any is skipped
/// with the reason; in CI that is a failure for who may set the number.
/// </summary>
internal sealed class ReservedHugePages : IDisposable
{
    private const string Folder = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
    private const string Number = Folder + "nr_hugepages";
    private const string BeyondIt = Folder + "surplus_hugepages";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly long _taken;

    private ReservedHugePages(long taken) => _taken = taken;

    /// <summary>Room for <paramref name="bytes"/> of guest memory.</summary>
    internal static ReservedHugePages For(long bytes)
    {
        var pages = (bytes + MemoryMapping.HugePageSize - 1) / MemoryMapping.HugePageSize;
        try
        {
            using (Turn())
            {
                var before = Read();
                Write(before + pages);
                if (Read() >= before + pages)
                    return new ReservedHugePages(pages);
                Write(before);
            }
        }
        catch (Exception refused) when (refused is UnauthorizedAccessException or IOException)
        {
            Xunit.Assert.Skip($"huge pages cannot be reserved: {refused.Message}");
        }

        Xunit.Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", $"the system has no {pages} huge pages to reserve");
        throw new InvalidOperationException($"the system has no {pages} huge pages to reserve");
    }

    public void Dispose()
    {
        using (Turn())
            Write(Math.Max(Read() - _taken, 0));
    }

    private static long Read() => Read(Number) - Read(BeyondIt);

    private static long Read(string file) => long.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture);

    private static void Write(long pages) => File.WriteAllText(Number, pages.ToString(CultureInfo.InvariantCulture));

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
