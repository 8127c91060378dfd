using System.Globalization;
using System.Text.RegularExpressions;
using Xunit;

namespace DataPlane.Tests.House;

/// <summary>The table of docs/architecture.md says which room uses which, and the source agrees with it.</summary>
public sealed partial class FloorsTests
{
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
        var files = WorkTree.Files("src", "*.cs").Select(static path => new SourceFile(RoomOf(FolderOf(path)), File.ReadAllText(path)))
            .ToArray();
        var shared = files.Where(static file => PublicNamespace().IsMatch(file.Text))
            .SelectMany(static file => Declarations().Matches(file.Text).Select(match => (Type: match.Groups["type"].Value, file.Room)))
            .ToDictionary(static declared => declared.Type, static declared => declared.Room);
        Dictionary<string, HashSet<string>> uses = [];
        foreach (var (room, text) in files)
        {
            if (!uses.TryGetValue(room, out var used))
            {
                uses[room] = used = [];
            }

            foreach (Match match in Usings().Matches(text))
            {
                used.Add(RoomOf(match.Groups["name"].Value));
            }

            var members = EnumMembers().Matches(text).Select(static match => match.Groups["name"].Value).ToHashSet();
            foreach (Match match in Words().Matches(NoCode().Replace(text, "")))
            {
                if (shared.TryGetValue(match.Value, out var declaredIn) && !members.Contains(match.Value))
                {
                    used.Add(declaredIn);
                }
            }

            used.Remove(room);
        }

        return uses;
    }

    /// <summary>
    /// src/DataPlane.Guard/Relay/RelayPipe.cs is in <c>Guard.Relay</c>. A namespace is the same, except that the public types of the
    /// library are in <c>DataPlane</c>, wherever their file is.
    /// </summary>
    private static string FolderOf(string path)
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

    [GeneratedRegex(@"^\s*(?:global )?using (?:static )?(?:\w+ = )?DataPlane\.(?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Usings();

    [GeneratedRegex(@"^namespace DataPlane;", RegexOptions.Multiline)]
    private static partial Regex PublicNamespace();

    [GeneratedRegex(@"^public (?:[a-z]+ )*(?<type>[A-Z]\w*)", RegexOptions.Multiline)]
    private static partial Regex Declarations();

    /// <summary>A type's name that is not a member of something else.</summary>
    [GeneratedRegex(@"(?<![\w.])[A-Z]\w*")]
    private static partial Regex Words();

    [GeneratedRegex(@"^    (?<name>[A-Z]\w*)(?: = .*)?,$", RegexOptions.Multiline)]
    private static partial Regex EnumMembers();

    /// <summary>Comments and strings.</summary>
    [GeneratedRegex(@"//.*|\$?@?""(?:[^""\\\n]|\\.)*""")]
    private static partial Regex NoCode();

    private sealed record SourceFile(string Room, string Text);

    private sealed record Room(string Name, int Floor, string[] Uses);
}
