using DataPlane.TestSupport;

namespace DataPlane.Tests.House;

/// <summary>The files of the work tree that this program was built from.</summary>
internal static class WorkTree
{
    public static string Root => SourceFolder.Root;

    /// <summary>README.md and everything in docs.</summary>
    public static IEnumerable<string> Documents() => [Path.Combine(Root, "README.md"), .. Files("docs", "*.md")];

    /// <summary>Files below a folder, without what a build has put there.</summary>
    public static IEnumerable<string> Files(string folder, string pattern) =>
        Directory.EnumerateFiles(Path.Combine(Root, folder), pattern, SearchOption.AllDirectories)
            .Where(static path => !IsBuilt(path))
            .Order(StringComparer.Ordinal);

    /// <summary>The path as a reader of the repository knows it.</summary>
    public static string NameOf(string path) => Path.GetRelativePath(Root, path);

    private static bool IsBuilt(string path) => NameOf(path).Split(Path.DirectorySeparatorChar).Any(static part => part is "bin" or "obj");
}
