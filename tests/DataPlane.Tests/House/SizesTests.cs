using System.Reflection;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;
using DataPlane.Guard;
using DataPlane.Images;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using Xunit;

namespace DataPlane.Tests.House;

/// <summary>Types of src/ stay small enough to be read at once.</summary>
public sealed partial class SizesTests
{
    private const int MaxLines = 400;
    private const int MaxMutableFields = 15;

    [Fact]
    public void No_type_has_more_lines_than_can_be_read_at_once()
    {
        var tooLong = WorkTree.Files("src", "*.cs")
            .GroupBy(static path => (Folder: Path.GetDirectoryName(path), Type: Path.GetFileName(path).Split('.')[0]))
            .Where(static files => files.Sum(static path => File.ReadLines(path).Count()) > MaxLines)
            .Select(static files => files.Key.Type);

        Assert.Empty(tooLong);
    }

    [Fact]
    public void No_type_has_more_mutable_fields_than_can_be_kept_in_mind()
    {
        Type[] ofEachAssembly = [typeof(MigrationSource), typeof(MappedRamSource), typeof(GuardedVm), typeof(DataPlaneCommandLine)];
        var tooMany = ofEachAssembly.SelectMany(static type => type.Assembly.GetTypes())
            .Where(static type => !type.Name.Contains('<') && type.Namespace?.StartsWith("DataPlane", StringComparison.Ordinal) == true)
            // A document has a field for each key of its JSON, and the fields of a serializer's context are written by its generator.
            .Where(static type => !type.IsAssignableTo(typeof(CommandDocument)) && !type.IsAssignableTo(typeof(JsonSerializerContext)))
            .Where(static type => CountMutableFields(type) > MaxMutableFields)
            .Select(static type => type.Name);

        Assert.Empty(tooMany);
    }

    [Fact]
    public void No_type_is_written_in_several_files()
    {
        var parts = PartialTypes().GroupBy(static part => (Folder: Path.GetDirectoryName(part.Path), part.Type))
            .Where(static files => files.Select(static part => part.Path).Distinct().Count() > 1)
            .Select(static files => files.Key.Type);

        Assert.Empty(parts);
    }

    /// <summary>A type is partial because a generator writes its other part.</summary>
    [Fact]
    public void No_type_is_partial_without_a_generator()
    {
        var without = PartialTypes().Where(static part => !Generators().IsMatch(File.ReadAllText(part.Path)))
            .Select(static part => WorkTree.NameOf(part.Path));

        Assert.Empty(without);
    }

    private static IEnumerable<(string Path, string Type)> PartialTypes() =>
        from path in WorkTree.Files("src", "*.cs")
        from match in Partials().Matches(File.ReadAllText(path))
        select (path, match.Groups["type"].Value);

    /// <summary>
    /// Fields that may change after the constructor, with those of base types, and those behind properties that can be set. A captured
    /// parameter of a constructor is not counted: its field cannot be declared read-only.
    /// </summary>
    private static int CountMutableFields(Type type)
    {
        const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        var count = 0;
        for (var each = type; each?.Namespace?.StartsWith("DataPlane", StringComparison.Ordinal) == true; each = each.BaseType)
        {
            count += each.GetFields(Own).Count(static field => !field.IsInitOnly && !field.Name.EndsWith(">P", StringComparison.Ordinal));
        }

        return count;
    }

    [GeneratedRegex(@"^\s*(?:\w+ )*partial (?:class|struct|record|record struct|interface) (?<type>\w+)", RegexOptions.Multiline)]
    private static partial Regex Partials();

    [GeneratedRegex(@"\[(?:LibraryImport|LoggerMessage|GeneratedRegex|JsonSerializable|JsonSourceGenerationOptions)\b")]
    private static partial Regex Generators();
}
