namespace DataPlane.TestSupport;

/// <summary>The work tree that this program was built from.</summary>
internal static class SourceFolder
{
    public static string Root { get; } = FindRoot();

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DataPlane.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException($"no DataPlane.sln above {AppContext.BaseDirectory}");
    }
}
