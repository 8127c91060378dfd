using Xunit;

namespace DataPlane.Tests.House;

/// <summary>A line of code or of a page fits beside another on a screen.</summary>
public sealed class LinesTests
{
    private const int MaxColumns = 140;

    [Theory]
    [InlineData("src")]
    [InlineData("tests")]
    [InlineData("bench")]
    public void No_line_of_code_is_longer_than_the_house_allows(string folder) =>
        Assert.Empty(WorkTree.Files(folder, "*.cs").SelectMany(static path => TooLong(path, static _ => true)));

    /// <summary>Tables and code are as wide as they must be.</summary>
    [Fact]
    public void No_line_of_text_is_longer_either()
    {
        var isCode = false;
        Assert.Empty(WorkTree.Documents().Append(Path.Combine(WorkTree.Root, "CHANGELOG.md")).SelectMany(path => TooLong(path, IsText)));

        bool IsText(string line)
        {
            var isFence = line.TrimStart().StartsWith("```", StringComparison.Ordinal);
            isCode ^= isFence;
            return !isCode && !isFence && !line.TrimStart().StartsWith('|');
        }
    }

    private static IEnumerable<string> TooLong(string path, Func<string, bool> counts) =>
        File.ReadLines(path).Index().Where(line => counts(line.Item) && line.Item.Length > MaxColumns)
            .Select(line => $"{WorkTree.NameOf(path)}:{line.Index + 1}");
}
