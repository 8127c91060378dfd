using System.Text.RegularExpressions;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>
/// The tables of docs/compatibility.md: per section ("Capabilities", "Parameters"...) rows of a name in backquotes, the QEMUs that know it,
/// and a verdict each for source, destination and guard.
/// </summary>
internal sealed partial class CompatibilityTable
{
    /// <summary>What a verdict begins with; a dash stands where the name has no meaning.</summary>
    private static readonly string[] s_verdicts = ["works", "refused", "not tried", "-"];

    private readonly Dictionary<(string Section, string Name), Row> _rows = [];

    public static string Path => System.IO.Path.Combine(Repository.Root, "docs", "compatibility.md");

    /// <exception cref="InvalidDataException">A row is not of the form, or stands there twice.</exception>
    public static CompatibilityTable Read()
    {
        var table = new CompatibilityTable();
        var section = "";
        foreach (var line in File.ReadLines(Path))
        {
            if (line.StartsWith("## ", StringComparison.Ordinal))
            {
                section = line[3..].Trim();
            }
            else if (line.StartsWith("| `", StringComparison.Ordinal))
            {
                table.Add(section, line);
            }
        }

        return table;
    }

    /// <summary>The rows of a section.</summary>
    public IEnumerable<Row> Section(string section) =>
        from row in _rows where row.Key.Section == section select row.Value;

    /// <summary>The names without a row for this version.</summary>
    public IReadOnlyList<string> Missing(string section, QemuVersion version, IEnumerable<string> names) =>
        [.. names.Where(name => !_rows.TryGetValue((section, name), out var row) || !row.Covers(version)).Order(StringComparer.Ordinal)];

    /// <summary>The rows that claim to be of this version and whose names it does not know.</summary>
    public IReadOnlyList<string> Surplus(string section, QemuVersion version, IEnumerable<string> names) =>
        [.. Section(section).Where(row => row.Covers(version)).Select(row => row.Name).Except(names).Order(StringComparer.Ordinal)];

    private void Add(string section, string line)
    {
        var cells = line.Trim().Trim('|').Split('|', StringSplitOptions.TrimEntries);
        if (cells.Length != 5)
        {
            throw new InvalidDataException($"a row of {cells.Length} cells instead of 5: {line}");
        }

        foreach (var verdict in cells[2..])
        {
            if (!s_verdicts.Any(known => verdict == known || (known != "-" && verdict.StartsWith(known, StringComparison.Ordinal))))
            {
                throw new InvalidDataException($"'{verdict}' does not begin with one of {string.Join(", ", s_verdicts)}: {line}");
            }
        }

        var versions = Versions().Match(cells[1]);
        if (!versions.Success)
        {
            throw new InvalidDataException($"'{cells[1]}' is not FROM to UNTIL: {line}");
        }

        foreach (Match name in Names().Matches(cells[0]))
        {
            var row = new Row(name.Groups[1].Value, Ordinal(versions.Groups[1].Value), Ordinal(versions.Groups[2].Value));
            if (!_rows.TryAdd((section, row.Name), row))
            {
                throw new InvalidDataException($"{row.Name} stands twice in {section}");
            }
        }
    }

    private static int Ordinal(string version)
    {
        var parts = version.Split('.');
        return (int.Parse(parts[0], provider: null) * 100) + int.Parse(parts[1], provider: null);
    }

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Names();

    [GeneratedRegex(@"^(\d+\.\d+) to (\d+\.\d+)$")]
    private static partial Regex Versions();

    /// <summary>One name and the first and the last QEMU that knows it, as hundred times the major version and the minor one.</summary>
    internal sealed record Row(string Name, int From, int Until)
    {
        public bool Covers(QemuVersion version) => (version.Major * 100) + version.Minor is var at && at >= From && at <= Until;
    }
}
