using DataPlane.Images;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class PartialFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    [Fact]
    public void The_file_is_its_owners_alone_and_has_all_its_space()
    {
        var path = Path.Combine(_folder, "file");
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
        var path = Path.Combine(_folder, "file");
        File.WriteAllText(path, "precious");
        Assert.ThrowsAny<IOException>(() => PartialFile.Create(path, 4096));
        Assert.Equal("precious", File.ReadAllText(path));
    }

    [Fact]
    public void A_file_that_a_sweeper_takes_before_it_is_locked_is_not_written()
    {
        var path = PartialFile.NameFor(Path.Combine(_folder, "file"));
        List<SafeFileHandle> sweeper = [];
        var failure = Assert.ThrowsAny<IOException>(() => PartialFile.Create(path, 4096, file =>
        {
            sweeper.Add(LinuxFile.Open(path, FileCalls.OpenReadOnly));
            Assert.True(LinuxFile.TryLock(sweeper[0]));
            return LinuxFile.TryLock(file);
        }));
        sweeper[0].Dispose();
        Assert.Contains("try again", failure.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public void A_file_system_without_locks_will_do()
    {
        PartialFile.Create(Path.Combine(_folder, "file"), 4096, static _ =>
        {
            System.Runtime.InteropServices.Marshal.SetLastPInvokeError(Errno.ENOSYS);
            return false;
        }).Dispose();
        Assert.Single(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public void A_missing_folder_is_named()
    {
        var path = Path.Combine(_folder, "nowhere", "file");
        var failure = Assert.ThrowsAny<IOException>(() => PartialFile.Create(path, 4096));
        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_dead_process_has_left_is_swept_and_what_a_living_one_writes_is_not()
    {
        string Vm(string name) => Path.Combine(_folder, name);
        string dead = PartialFile.NameFor(Vm("dead")), living = PartialFile.NameFor(Vm("living")), other = Vm(".notes.partial");
        PartialFile.Create(dead, 4096).Dispose();
        File.WriteAllText(other, "no name of ours");
        using (PartialFile.Create(living, 4096))
        {
            Assert.Equal(1, PartialFile.Sweep(_folder));
            Assert.Equal([living, other], Directory.GetFiles(_folder).Order(StringComparer.Ordinal));
        }

        Assert.Equal(1, PartialFile.Sweep(_folder));
        Assert.Equal([other], Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_link_or_a_file_of_somebody_else_with_such_a_name_is_not_swept()
    {
        var target = Path.Combine(_folder, "target");
        File.WriteAllText(target, "precious");
        var link = PartialFile.NameFor(Path.Combine(_folder, "link"));
        File.CreateSymbolicLink(link, target);
        Assert.Equal(0, PartialFile.Sweep(_folder));
        Assert.Equal("precious", File.ReadAllText(link));

        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can give a file away");
        var theirs = PartialFile.NameFor(Path.Combine(_folder, "theirs"));
        File.WriteAllText(theirs, "");
        Assert.Equal(0, DiskFiles.Run("chown", "65534", theirs).ExitCode);
        Assert.Equal(0, PartialFile.Sweep(_folder));
        Assert.True(File.Exists(theirs));
    }

    [Fact]
    public void Where_space_cannot_be_reserved_zeros_take_it()
    {
        var path = Path.Combine(_folder, "file");
        using var file = LinuxFile.CreateNew(path);
        LinuxFile.SetLength(file, (3 << 20) + 4096);

        PartialFile.Reserve(file, path, (3 << 20) + 4096, static (_, _, _) => throw new LinuxException("fallocate", Errno.EOPNOTSUPP));

        Assert.Equal((3 << 20) + 4096, new FileInfo(path).Length);
        Assert.True(DiskFiles.AllocatedBytes(path) >= (3 << 20) + 4096);
    }

    [Fact]
    public void A_trial_of_a_folder_leaves_nothing()
    {
        Assert.True(PartialFile.CanReserve(_folder));
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
