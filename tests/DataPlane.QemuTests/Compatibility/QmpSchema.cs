using System.Text.Json;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>What `query-qmp-schema` answers: the commands of this QEMU and the types of their arguments.</summary>
internal sealed class QmpSchema(JsonElement answer)
{
    private readonly Dictionary<string, JsonElement> _entities = answer.EnumerateArray()
        .GroupBy(entity => entity.GetProperty("name").GetString()!)
        .ToDictionary(group => group.Key, group => group.First());

    /// <summary>The names of a command's arguments.</summary>
    public IEnumerable<string> ArgumentsOf(string command) => MembersOf(Argument(command)).Select(member => member.Name);

    /// <summary>
    /// The values of an enumeration, reached from a command's arguments (or from its result, for queries) member by member; none where this
    /// QEMU has no such member.
    /// </summary>
    public IEnumerable<string> ValuesOf(string command, params ReadOnlySpan<string> path)
    {
        var entity = command.StartsWith("query-", StringComparison.Ordinal)
            ? Entity(_entities[command].GetProperty("ret-type").GetString()!)
            : Argument(command);
        foreach (var name in path)
        {
            var type = MembersOf(entity).FirstOrDefault(member => member.Name == name).Type;
            if (type is null)
            {
                return [];
            }

            entity = Entity(type);
        }

        return entity.TryGetProperty("values", out var values)
            ? [.. values.EnumerateArray().Select(value => value.GetString()!)]
            : [.. entity.GetProperty("members").EnumerateArray().Select(member => member.GetProperty("name").GetString()!)];
    }

    private JsonElement Argument(string command) => Entity(_entities[command].GetProperty("arg-type").GetString()!);

    /// <summary>A type, or the elements of an array of it.</summary>
    private JsonElement Entity(string name)
    {
        var entity = _entities[name];
        return entity.GetProperty("meta-type").GetString() == "array" ? Entity(entity.GetProperty("element-type").GetString()!) : entity;
    }

    private static IEnumerable<(string Name, string? Type)> MembersOf(JsonElement entity) =>
        from member in entity.GetProperty("members").EnumerateArray()
        select (member.GetProperty("name").GetString()!, (string?)member.GetProperty("type").GetString());
}
