using System.Text.RegularExpressions;
using Xunit;

namespace DataPlane.Tests.House;

/// <summary>What source and pages name exists: sections of the specification, files behind links, headings behind anchors.</summary>
public sealed partial class SpecificationLinksTests
{
    private static readonly string[] s_chapters = ["1-channels", "2-main-stream", "3-multifd", "4-postcopy", "5-handshake"];

    [Fact]
    public void Every_section_of_the_specification_that_is_named_exists()
    {
        var sections = s_chapters.ToDictionary(static chapter => chapter, SectionsOf);
        string[] sources = ["src", "tests", "bench"];
        List<string> wrong = [];
        var references = 0;
        foreach (var file in sources.SelectMany(static folder => WorkTree.Files(folder, "*.cs")).Concat(WorkTree.Documents()))
        {
            // A reference may begin on one line of a comment and end on the next.
            var text = LineBreaks().Replace(File.ReadAllText(file), " ");
            foreach (Match reference in References().Matches(text))
            {
                references++;
                foreach (Match number in Numbers().Matches(reference.Groups["sections"].Value))
                {
                    if (!sections[reference.Groups["chapter"].Value].Contains(number.Value))
                    {
                        wrong.Add($"{WorkTree.NameOf(file)}: {reference.Value}");
                    }
                }
            }
        }

        Assert.Empty(wrong);
        Assert.True(references > 50, $"{references} references have been found: they are written in another way now");
    }

    [Fact]
    public void Every_relative_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it()
    {
        List<string> wrong = [];
        foreach (var page in WorkTree.Documents())
        {
            foreach (var line in Prose(page))
            {
                foreach (Match link in Links().Matches(CodeSpans().Replace(line, "")))
                {
                    var target = link.Groups["target"].Value;
                    if (!target.Contains("://", StringComparison.Ordinal) && !Exists(page, target))
                    {
                        wrong.Add($"{WorkTree.NameOf(page)}: {target}");
                    }
                }
            }
        }

        Assert.Empty(wrong);
    }

    private static bool Exists(string page, string target)
    {
        var parts = target.Split('#', 2);
        var path = parts[0].Length == 0 ? page : Path.GetFullPath(Path.Combine(Path.GetDirectoryName(page)!, parts[0]));
        return parts.Length == 1
            ? File.Exists(path) || Directory.Exists(path)
            : File.Exists(path) && Headings(path).Any(heading => Anchor(heading) == parts[1]);
    }

    /// <summary>As GitHub makes it: "1.7 Our rules: how" becomes <c>17-our-rules-how</c>.</summary>
    private static string Anchor(string heading) =>
        string.Concat(heading.ToLowerInvariant().Where(static c => char.IsLetterOrDigit(c) || " -_".Contains(c))).Replace(' ', '-');

    private static HashSet<string> SectionsOf(string chapter) =>
        [.. Headings(Path.Combine(WorkTree.Root, "docs", "spec", $"{chapter}.md"))
            .Select(static heading => SectionNumber().Match(heading))
            .Where(static match => match.Success)
            .Select(static match => match.Groups["number"].Value)];

    private static IEnumerable<string> Headings(string page) =>
        Prose(page).Where(static line => line.StartsWith('#')).Select(static line => line.TrimStart('#').Trim());

    /// <summary>The lines outside of blocks of code.</summary>
    private static IEnumerable<string> Prose(string page)
    {
        var isCode = false;
        foreach (var line in File.ReadLines(page))
        {
            if (line.TrimStart().StartsWith("```", StringComparison.Ordinal))
            {
                isCode = !isCode;
            }
            else if (!isCode)
            {
                yield return line;
            }
        }
    }

    [GeneratedRegex(@"\s*\n\s*(?:///?\s*)?")]
    private static partial Regex LineBreaks();

    /// <summary>
    /// "4-postcopy section 4.6.2", "3-multifd 1, 2", "2-main-stream sections 1, 3 and 5"; the number of a chapter that comes next is none.
    /// </summary>
    [GeneratedRegex(
        @"(?<chapter>1-channels|2-main-stream|3-multifd|4-postcopy|5-handshake)(?:\.md)?,?(?: sections?)? "
        + @"(?<sections>\d+(?:\.\d+)*\b(?!-)(?:(?:, and |, | and )\d+(?:\.\d+)*\b(?!-))*)")]
    private static partial Regex References();

    [GeneratedRegex(@"\d+(?:\.\d+)*")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"^(?<number>\d+(?:\.\d+)*)\.? ")]
    private static partial Regex SectionNumber();

    [GeneratedRegex("`[^`]*`")]
    private static partial Regex CodeSpans();

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Links();
}
