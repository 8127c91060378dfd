using System.Security.Cryptography;
using DataPlane.Images;
using DataPlane.Tests.Migration;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Images;

/// <summary>A guest that arrives in a file, read back by other means than it was written.</summary>
public sealed class MappedRamGuestTests : IDisposable
{
    private static readonly IncomingMachine s_machine = new() { Name = "pc-q35-10.0" };

    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private string Vm => Path.Combine(_folder, "vm");

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task A_guest_becomes_a_file_that_holds_all_of_it(int channels)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        guest.Memory.Blocks[0].Span(8 << 20, 8 << 20).Clear();
        using var incoming = new MappedRamGuest(Vm);
        await PrecopyTests.MigrateAsync(guest, incoming, channels);

        Assert.Equal([Vm], Directory.GetFileSystemEntries(_folder));
        Assert.Equal("600", DiskFiles.Mode(Vm));
        Assert.Equal(guest.Memory.TotalBytes, incoming.RamBytes);
        Assert.Equal(guest.Memory.Blocks.Select(DigestOf), incoming.ComputeDigests());
        AssertHolds(guest);

        // Each page that is zero has given its space back; what lies before each block's pages, up to 1 MiB, is small.
        long dataPages = guest.Memory.Blocks.Sum(static block => Pages(block).Count(page => !IsZero(block, page)));
        long between = (guest.Memory.Blocks.Count << 20) + (64 << 10);
        Assert.InRange(DiskFiles.AllocatedBytes(Vm), dataPages << TargetPage.Shift, (dataPages << TargetPage.Shift) + between);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task A_migration_that_fails_leaves_the_folder_as_it_was(int channels)
    {
        File.WriteAllText(Vm, "an older VM");
        using var cancel = new CancellationTokenSource();
        using var incoming = new MappedRamGuest(Vm);
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 4 << 20, RamAllocation.Default))
        {
            IsRunning = true,
            OnPaused = async cancellationToken =>
            {
                await Eventually.TrueAsync(() => incoming.RamBytes > 0, "there is a file", cancellationToken);
                await cancel.CancelAsync();
            },
        };
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new MigrationDestinationOptions { MultifdChannels = channels });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);
        var sending = new MigrationSource(guest, new() { MultifdChannels = channels })
            .MigrateAsync(destination.LocalAddresses[0], cancellationToken: cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        await Assert.ThrowsAsync<MigrationException>(() => receiving);
        Assert.Equal([Vm], Directory.GetFileSystemEntries(_folder));
        Assert.Equal("an older VM", File.ReadAllText(Vm));
    }

    [Fact]
    public async Task The_file_takes_its_name_at_the_commit_and_not_before()
    {
        File.WriteAllText(Vm, "an older VM");
        using var incoming = new MappedRamGuest(Vm);
        var memory = await incoming.CreateMemoryAsync(
            s_machine, [new IncomingBlock("pc.ram", 1 << 20)], TestContext.Current.CancellationToken);
        var partial = Assert.Single(Directory.GetFiles(_folder), file => file != Vm);
        Assert.StartsWith(".vm.", Path.GetFileName(partial), StringComparison.Ordinal);
        Assert.Equal("600", DiskFiles.Mode(partial));
        Assert.Equal("an older VM", File.ReadAllText(Vm));

        await incoming.CommitAsync(
            DeviceState.Wrap("test", new byte[] { 1 }), new ReceivedPages(memory), TestContext.Current.CancellationToken);
        Assert.Equal([Vm], Directory.GetFileSystemEntries(_folder));
        Assert.Equal(s_machine.Name, Read().Configuration.MachineName);
        incoming.Dispose();
        Assert.True(File.Exists(Vm));
    }

    /// <summary>The guest goes on at its source then, and what was here before is all that this side has.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_disk_that_fails_at_the_last_moment_leaves_the_older_file_as_it_was(bool hasOlder)
    {
        if (hasOlder)
        {
            File.WriteAllText(Vm, "an older VM");
        }

        using var incoming = new MappedRamGuest(Vm, _ => throw new IOException("the disk has gone"));
        var memory = await incoming.CreateMemoryAsync(
            s_machine, [new IncomingBlock("pc.ram", 1 << 20)], TestContext.Current.CancellationToken);

        await Assert.ThrowsAsync<IOException>(async () => await incoming.CommitAsync(
            DeviceState.Wrap("test", new byte[] { 1 }), new ReceivedPages(memory), TestContext.Current.CancellationToken));
        await incoming.AbandonAsync(new IOException());

        Assert.Equal(hasOlder ? [Vm] : [], Directory.GetFileSystemEntries(_folder));
        if (hasOlder)
        {
            Assert.Equal("an older VM", File.ReadAllText(Vm));
        }
    }

    /// <summary>Both reasons are told then, and what could not be undone at once is undone when the migration is abandoned.</summary>
    [Fact]
    public async Task A_commit_that_cannot_be_undone_tells_why_it_failed_and_is_undone_later()
    {
        File.WriteAllText(Vm, "an older VM");
        string? older = null;
        var hidden = Path.Combine(_folder, "hidden");
        using var incoming = new MappedRamGuest(Vm, _ =>
        {
            older = Assert.Single(Directory.GetFiles(_folder), file => file != Vm);
            File.Move(older, hidden);
            throw new IOException("the disk has gone");
        });
        var memory = await incoming.CreateMemoryAsync(
            s_machine, [new IncomingBlock("pc.ram", 1 << 20)], TestContext.Current.CancellationToken);

        var failure = await Assert.ThrowsAsync<IOException>(async () => await incoming.CommitAsync(
            DeviceState.Wrap("test", new byte[] { 1 }), new ReceivedPages(memory), TestContext.Current.CancellationToken));
        Assert.StartsWith(
            $"the disk has gone; and '{Vm}' could not be made what it was before: ", failure.Message, StringComparison.Ordinal);

        File.Move(hidden, older!);
        await incoming.AbandonAsync(failure);
        Assert.Equal([Vm], Directory.GetFileSystemEntries(_folder));
        Assert.Equal("an older VM", File.ReadAllText(Vm));
    }

    [Fact]
    public async Task Abandoning_before_and_after_the_memory_was_created_leaves_nothing()
    {
        using var early = new MappedRamGuest(Vm);
        await early.AbandonAsync(new IOException());
        using var late = new MappedRamGuest(Vm);
        await late.CreateMemoryAsync(s_machine, [new IncomingBlock("pc.ram", 1 << 20)], TestContext.Current.CancellationToken);
        await late.AbandonAsync(new IOException());
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task A_disk_without_space_is_said_before_any_page_comes_and_nothing_stays()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "mounting a small file system needs root");
        var mounted = DiskFiles.Run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", _folder);
        Assert.SkipUnless(mounted.ExitCode == 0, $"a small file system cannot be mounted: {mounted.Output}");
        try
        {
            using var guest = TestGuest.Patterned(16 << 20);
            using var incoming = new MappedRamGuest(Vm);
            await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming, new());
            var pages = new PageCount();
            var receiving = destination.ReceiveAsync(pages, TestContext.Current.CancellationToken);
            var sending = new MigrationSource(guest, new())
                .MigrateAsync(destination.LocalAddresses[0], cancellationToken: TestContext.Current.CancellationToken);
            var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving);
            await Assert.ThrowsAsync<MigrationException>(() => sending);
            Assert.Equal(FailureReason.HostFailed, failure.Reason);
            Assert.Contains($"in '{_folder}'", failure.Message, StringComparison.Ordinal);
            Assert.Contains("No space left on device", failure.Message, StringComparison.Ordinal);
            Assert.Equal(0, pages.Most);
            Assert.Empty(Directory.GetFileSystemEntries(_folder));
        }
        finally
        {
            DiskFiles.Run("umount", _folder);
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static IEnumerable<long> Pages(RamBlock block)
    {
        for (long page = 0; page < block.PageCount; page++)
        {
            yield return page;
        }
    }

    private static bool IsZero(RamBlock block, long page) =>
        !block.Span(page << TargetPage.Shift, TargetPage.Size).ContainsAnyExcept((byte)0);

    private static BlockDigest DigestOf(RamBlock block) =>
        new(block.Name, block.Length, Convert.ToHexStringLower(SHA256.HashData(block.Span(0, (int)block.Length))));

    private MappedRamImageInfo Read()
    {
        using var file = File.OpenHandle(Vm);
        Assert.True(MappedRamReader.TryRead(ImageBytes.Of(file), new MappedRamLimits(1 << 30), 0, out var info, out var error), error);
        return info;
    }

    private void AssertHolds(TestGuest guest)
    {
        var info = Read();
        Assert.Equal(guest.MachineName, info.Configuration.MachineName);
        Assert.Equal(guest.Devices, info.State.Unwrap("test").ToArray());
        Assert.Equal(
            guest.Memory.Blocks.Select(static block => (block.Name, block.Length)),
            info.Blocks.Select(static block => (block.Name, block.Length)));
        var file = File.ReadAllBytes(Vm);
        foreach (var (place, block) in info.Blocks.Zip(guest.Memory.Blocks))
        {
            foreach (var page in Pages(block))
            {
                var inBitmap = (file[place.BitmapOffset + page / 8] >> (int)(page % 8) & 1) != 0;
                Assert.True(inBitmap != IsZero(block, page), $"bit of page {page} of {block.Name}");
                var content = file.AsSpan((int)(place.PagesOffset + (page << TargetPage.Shift)), TargetPage.Size);
                Assert.True(content.SequenceEqual(block.Span(page << TargetPage.Shift, TargetPage.Size)), $"page {page} of {block.Name}");
            }
        }
    }

    private sealed class PageCount : IProgress<MigrationProgress>
    {
        public long Most { get; private set; }

        public void Report(MigrationProgress value) => Most = Math.Max(Most, value.NormalPages + value.ZeroPages);
    }
}
