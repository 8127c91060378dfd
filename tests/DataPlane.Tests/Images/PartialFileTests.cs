using DataPlane.Images;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class PartialFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    [Fact]
    public void The_file_is_its_owners_alone_and_has_all_its_space()
    {
        string path = Path.Combine(_folder, "file");
        using (PartialFile.Create(path, 3 << 20))
        {
            Assert.Equal("600", DiskFiles.Mode(path));
            Assert.Equal(3 << 20, new FileInfo(path).Length);
            Assert.True(DiskFiles.AllocatedBytes(path) >= 3 << 20);
        }
    }

    [Fact]
    public void A_length_that_no_disk_has_leaves_nothing()
    {
        Assert.ThrowsAny<IOException>(() => PartialFile.Create(Path.Combine(_folder, "file"), 1L << 62));
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public void A_file_that_exists_is_left_alone()
    {
        string path = Path.Combine(_folder, "file");
        File.WriteAllText(path, "precious");
        Assert.ThrowsAny<IOException>(() => PartialFile.Create(path, 4096));
        Assert.Equal("precious", File.ReadAllText(path));
    }

    [Fact]
    public void A_missing_folder_is_named()
    {
        string path = Path.Combine(_folder, "nowhere", "file");
        var failure = Assert.ThrowsAny<IOException>(() => PartialFile.Create(path, 4096));
        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
