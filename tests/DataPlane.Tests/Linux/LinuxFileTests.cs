using System.Runtime.InteropServices;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class LinuxFileTests : IDisposable
{
    private const int Page = 4096;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("dataplane-files-");

    private string FilePath => Path.Combine(_folder.FullName, "file");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_memory_file_has_its_length_and_reads_as_zero()
    {
        using var file = LinuxFile.CreateInMemory("test", 3 * Page);

        Assert.Equal(3 * Page, RandomAccess.GetLength(file));
        byte[] bytes = [1, 2, 3];
        Assert.Equal(3, RandomAccess.Read(file, bytes, 2 * Page));
        Assert.Equal(new byte[3], bytes);
    }

    [Fact]
    public void Reserving_grows_the_file_and_keeps_its_bytes()
    {
        using var file = File.OpenHandle(FilePath, FileMode.CreateNew, FileAccess.ReadWrite);
        RandomAccess.Write(file, "abc"u8, 0);

        LinuxFile.Reserve(file, 0, 5 * Page);

        var bytes = new byte[4];
        Assert.Equal(5 * Page, RandomAccess.GetLength(file));
        Assert.Equal(4, RandomAccess.Read(file, bytes, 0));
        Assert.Equal("abc\0"u8, bytes);
    }

    [Fact]
    public void Reserving_more_than_a_file_can_be_is_an_error_and_not_a_short_file()
    {
        using var file = File.OpenHandle(FilePath, FileMode.CreateNew, FileAccess.ReadWrite);

        // Beyond the largest file, so that it fails before it takes any space from others.
        var e = Assert.Throws<LinuxException>(() => LinuxFile.Reserve(file, Page, long.MaxValue - Page));

        Assert.Equal(("fallocate", Errno.EFBIG), (e.Call, e.Errno));
        Assert.Equal(0, RandomAccess.GetLength(file));
    }

    [Fact]
    public void A_punched_hole_reads_as_zero_and_keeps_the_length()
    {
        using var file = LinuxFile.CreateInMemory("test", 3 * Page);
        var ones = new byte[3 * Page];
        Array.Fill(ones, (byte)1);
        RandomAccess.Write(file, ones, 0);

        Assert.True(LinuxFile.TryPunchHole(file, Page, Page));

        var bytes = new byte[3 * Page];
        Assert.Equal(bytes.Length, RandomAccess.Read(file, bytes, 0));
        Assert.Equal([1, 0, 1], new[] { bytes[Page - 1], bytes[Page], bytes[2 * Page] });
        Assert.False(bytes.AsSpan(Page, Page).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Holes_are_found_where_nothing_was_written()
    {
        using var file = LinuxFile.CreateInMemory("test", 10 * Page);
        Assert.Equal([(2 * Page, 9 * Page)], LinuxFile.Holes(file, 2 * Page, 9 * Page));
        RandomAccess.Write(file, "x"u8, 1 * Page);
        RandomAccess.Write(file, "x"u8, 4 * Page);

        Assert.Equal([(0, Page), (2 * Page, 4 * Page), (5 * Page, 10 * Page)], LinuxFile.Holes(file, 0, 10 * Page));
        Assert.Equal([(5 * Page, 6 * Page)], LinuxFile.Holes(file, 4 * Page, 6 * Page));
        Assert.Empty(LinuxFile.Holes(file, Page, 2 * Page));
        var (start, _) = Assert.Single(LinuxFile.Holes(file, 5 * Page, 20 * Page));
        Assert.Equal(5 * Page, start);
    }

    [Fact]
    public void Punching_a_closed_range_of_a_pipe_is_an_error_not_a_missing_feature()
    {
        using var pipe = new System.IO.Pipes.AnonymousPipeServerStream();
        using var handle = new SafeFileHandle(pipe.SafePipeHandle.DangerousGetHandle(), ownsHandle: false);

        Assert.Throws<LinuxException>(() => LinuxFile.TryPunchHole(handle, 0, Page));
    }

    [Fact]
    public void Contents_and_directory_can_be_made_durable()
    {
        using var file = File.OpenHandle(FilePath, FileMode.CreateNew, FileAccess.ReadWrite);
        RandomAccess.Write(file, "abc"u8, 0);

        LinuxFile.SyncData(file);
        LinuxFile.SyncDirectory(_folder.FullName);

        Assert.Equal("abc", File.ReadAllText(FilePath));
    }

    [Fact]
    public void Syncing_a_directory_that_is_a_file_is_refused()
    {
        File.WriteAllText(FilePath, "");

        Assert.Equal(Errno.ENOTDIR, Assert.Throws<LinuxException>(() => LinuxFile.SyncDirectory(FilePath)).Errno);
    }

    [Fact]
    public void Cpu_time_of_a_thread_grows_with_work_and_is_part_of_the_process()
    {
        var before = ResourceUsage.CpuTime(ProcessCalls.UsageOfThread);
        var after = before;
        for (ulong i = 0; after - before < TimeSpan.FromMilliseconds(2); i++)
        {
            after = ResourceUsage.CpuTime(ProcessCalls.UsageOfThread);
        }

        Assert.True(ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) >= after - before);
        Assert.Equal(144, Marshal.SizeOf<ResourceUsage>());
    }
}
