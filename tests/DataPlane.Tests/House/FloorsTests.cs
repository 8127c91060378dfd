using System.Globalization;
using System.Text.RegularExpressions;
using Xunit;

namespace DataPlane.Tests.House;

/// <summary>The table of docs/architecture.md says which room uses which, and the source agrees with it.</summary>
public sealed partial class FloorsTests
{
    /// <summary>Rooms of the library proper: their types may also be named with the room (<c>Wire.MachineType</c>).</summary>
    private static readonly HashSet<string> s_library =
        ["Linux", "Memory", "Wire", "Transport", "Admission", "MainStream", "Multifd", "Postcopy", "Migration", "Images"];

    [Fact]
    public void The_table_names_every_use_of_every_room_and_no_other()
    {
        var real = UsesInSource().Select(static room => Describe(room.Key, room.Value)).Order(StringComparer.Ordinal);
        var described = Table().Select(static room => Describe(room.Name, room.Uses)).Order(StringComparer.Ordinal);

        Assert.Equal(real.ToArray(), described.ToArray());
    }

    [Fact]
    public void No_room_uses_one_above_it_and_no_two_of_a_floor_use_each_other()
    {
        var rooms = Table().ToDictionary(static room => room.Name);
        List<string> wrong = [];
        foreach (var room in rooms.Values)
        {
            foreach (var use in room.Uses)
            {
                if (!MayUse(room, rooms[use]))
                {
                    wrong.Add($"{room.Name} uses {use}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    /// <summary>The rooms of the tool know each other: that of the command line knows all commands, and they know it.</summary>
    private static bool MayUse(Room room, Room used) =>
        used.Floor < room.Floor
        || (used.Floor == room.Floor && (room.Name.StartsWith("Tool", StringComparison.Ordinal) || !used.Uses.Contains(room.Name)));

    private static string Describe(string room, IEnumerable<string> uses) =>
        $"{room}: {string.Join(", ", uses.Order(StringComparer.Ordinal))}";

    /// <summary>Rows such as <c>| 2 | [`Transport`](transport.md) | what it is for | Linux, Memory |</c>.</summary>
    private static List<Room> Table()
    {
        List<Room> rooms = [];
        foreach (var row in File.ReadLines(Path.Combine(WorkTree.Root, "docs", "architecture.md")))
        {
            var cells = row.Split('|', StringSplitOptions.TrimEntries);
            if (cells.Length != 6 || !int.TryParse(cells[1], CultureInfo.InvariantCulture, out var floor))
            {
                continue;
            }

            rooms.Add(new Room(cells[2].Split('`')[1], floor, cells[4].Split(", ", StringSplitOptions.RemoveEmptyEntries)));
        }

        return rooms;
    }

    private static Dictionary<string, HashSet<string>> UsesInSource()
    {
        var files = WorkTree.Files("src", "*.cs").Select(static path => (Room: RoomOf(NamespaceOf(path)), Path: path)).ToArray();
        var types = files.Select(static file => $"{file.Room}.{TypeOf(file.Path)}").ToHashSet();
        Dictionary<string, HashSet<string>> uses = [];
        foreach (var (room, path) in files)
        {
            if (!uses.TryGetValue(room, out var used))
            {
                uses[room] = used = [];
            }

            var text = File.ReadAllText(path);
            foreach (Match match in Usings().Matches(text))
            {
                used.Add(RoomOf(match.Groups["name"].Value));
            }

            foreach (Match match in QualifiedNames().Matches(text))
            {
                if (s_library.Contains(match.Groups["room"].Value) && types.Contains(match.Value))
                {
                    used.Add(match.Groups["room"].Value);
                }
            }

            used.Remove(room);
        }

        return uses;
    }

    /// <summary>src/DataPlane.Guard/Relay/PipePool.cs is in <c>Guard.Relay</c>: folders and namespaces are the same.</summary>
    private static string NamespaceOf(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetRelativePath(Path.Combine(WorkTree.Root, "src"), path))!;
        return folder.Replace(Path.DirectorySeparatorChar, '.')["DataPlane.".Length..];
    }

    /// <summary>Every folder of the guard and of the tool is a room; elsewhere folders inside a room belong to it.</summary>
    private static string RoomOf(string name)
    {
        var parts = name.Split('.');
        return parts is ["Guard" or "Tool", _, ..] ? $"{parts[0]}/{parts[1]}" : parts[0];
    }

    /// <summary>Each type has a file of its name, perhaps several: <c>PageBitmap.cs</c>, <c>PageBitmap.Runs.cs</c>.</summary>
    private static string TypeOf(string path) => Path.GetFileName(path).Split('.')[0];

    [GeneratedRegex(@"^\s*(?:global )?using (?:static )?(?:\w+ = )?DataPlane\.(?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Usings();

    [GeneratedRegex(@"(?<![\w.])(?<room>[A-Z]\w*)\.[A-Z]\w*")]
    private static partial Regex QualifiedNames();

    private sealed record Room(string Name, int Floor, string[] Uses);
}
