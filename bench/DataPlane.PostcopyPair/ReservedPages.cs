using System.Globalization;

namespace DataPlane.PostcopyPair;

/// <summary>Huge pages that the system keeps for us, as long as this lives.</summary>
internal sealed class ReservedPages : IDisposable
{
    private const string Setting = "/proc/sys/vm/nr_hugepages";

    private readonly string _before;

    private ReservedPages(string before) => _before = before;

    /// <summary>Null where the system has not so many, or does not let us have them.</summary>
    public static ReservedPages? TryTake(int mebibytes)
    {
        try
        {
            var taken = new ReservedPages(File.ReadAllText(Setting).Trim());
            var wanted = int.Parse(taken._before, CultureInfo.InvariantCulture) + (mebibytes / 2);
            File.WriteAllText(Setting, wanted.ToString(CultureInfo.InvariantCulture));
            if (int.Parse(File.ReadAllText(Setting), CultureInfo.InvariantCulture) >= wanted)
            {
                return taken;
            }

            taken.Dispose();
            return null;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public void Dispose() => File.WriteAllText(Setting, _before);
}
