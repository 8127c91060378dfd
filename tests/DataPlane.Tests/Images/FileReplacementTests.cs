using DataPlane.Images;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class FileReplacementTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
    private readonly string _path;
    private readonly string _former;

    public FileReplacementTests()
    {
        _path = Path.Combine(_folder, "vm");
        _former = PartialFile.NameFor(_path);
        File.WriteAllText(_former, "new");
    }

    /// <summary>Whether the file system can exchange two names at once; NFS cannot.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_new_file_has_the_name_and_the_old_one_goes_at_the_end(bool exchanges)
    {
        File.WriteAllText(_path, "old");
        var replacement = Begin(exchanges);
        Assert.Equal("new", File.ReadAllText(_path));
        Assert.Equal(2, Directory.GetFiles(_folder).Length);
        replacement.Finish();
        Assert.Equal([_path], Directory.GetFiles(_folder));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Undone_the_old_file_has_its_name_and_the_new_one_is_gone(bool exchanges)
    {
        File.WriteAllText(_path, "old");
        Begin(exchanges).Undo();
        Assert.Equal("old", File.ReadAllText(_path));
        Assert.Equal([_path], Directory.GetFiles(_folder));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Where_there_was_none_there_is_none_again(bool exchanges)
    {
        Begin(exchanges).Undo();
        Assert.Empty(Directory.GetFiles(_folder));
    }

    /// <summary>It holds the memory of a guest, so it must not stay for ever.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_old_file_that_cannot_be_deleted_is_swept_at_the_next_start(bool exchanges)
    {
        File.WriteAllText(_path, "old");
        Begin(exchanges, static _ => throw new IOException("the server does not answer")).Finish();
        Assert.Equal("new", File.ReadAllText(_path));
        Assert.Equal(2, Directory.GetFiles(_folder).Length);

        Assert.Equal(1, PartialFile.Sweep(_folder));
        Assert.Equal([_path], Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_rename_that_fails_leaves_everything_as_it_was()
    {
        File.WriteAllText(_path, "old");
        File.Delete(_former);
        Assert.ThrowsAny<IOException>(() => Begin(exchanges: false));
        Assert.Equal("old", File.ReadAllText(_path));
        Assert.Equal([_path], Directory.GetFiles(_folder));
    }

    /// <summary>A process that is killed between the two renames leaves the old file as the only one: no sweeper may take it.</summary>
    [Fact]
    public void The_old_file_has_no_name_that_is_swept_while_it_has_none_of_its_own()
    {
        File.WriteAllText(_path, "old");
        _ = Begin(exchanges: false);
        var aside = Assert.Single(Directory.GetFiles(_folder), path => path != _path);
        Assert.EndsWith(".old", aside, StringComparison.Ordinal);
        Assert.Equal(0, PartialFile.Sweep(_folder));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private FileReplacement Begin(bool exchanges, Action<string>? delete = null) => FileReplacement.Begin(
        _former, _path, (one, other) => exchanges && LinuxFile.TryExchange(one, other), delete ?? File.Delete);
}
