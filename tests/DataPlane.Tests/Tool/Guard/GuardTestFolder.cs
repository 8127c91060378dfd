namespace DataPlane.Tests.Tool.Guard;

/// <summary>A folder with a name short enough for the paths of Unix sockets.</summary>
internal sealed class GuardTestFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("dpg").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
