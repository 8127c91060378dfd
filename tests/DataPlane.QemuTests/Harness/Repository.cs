using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Harness;

/// <summary>Where things lie in the work tree that this program was built from.</summary>
internal static class Repository
{
    public static string Root => SourceFolder.Root;

    /// <summary>The command under test: of this build, or another one's that DATAPLANE_DLL names.</summary>
    public static string Tool { get; } =
        Environment.GetEnvironmentVariable("DATAPLANE_DLL") is { Length: > 0 } dll
            ? dll
            : Path.Combine(Root, "src", "DataPlane.Tool", "bin", Configuration, "net10.0", "dataplane.dll");

    /// <summary>Release or Debug: the folder above the framework's in .../bin/Release/net10.0/.</summary>
    private static string Configuration => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
}
