using System.Security.Cryptography;
using CsCheck;
using DataPlane.Images;
using DataPlane.Linux;
using DataPlane.Tests.MainStream.Devices;
using DataPlane.Tests.Migration;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Images;

/// <summary>A file as the source of a migration.</summary>
public sealed class MappedRamSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private string Vm => Path.Combine(_folder, "vm");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_saved_guest_is_read_back_as_it_was()
    {
        using var guest = await SaveAsync();
        using var saved = MappedRamSource.Open(Vm);

        Assert.Equal(guest.MachineName, saved.MachineName);
        Assert.Equal(Guid.Empty, saved.Uuid);
        Assert.False(saved.IsRunning);
        Assert.Equal(guest.Devices, saved.Devices.Unwrap("test").ToArray());
        foreach (var (block, copy) in guest.Memory.Blocks.Zip(saved.Memory.Blocks))
        {
            Assert.Equal((block.Name, block.Length), (copy.Name, copy.Length));
            for (long page = 0; page < block.PageCount; page++)
            {
                Assert.True(block.Span(page << 12, 4096).SequenceEqual(copy.Span(page << 12, 4096)));
            }

            var data = Enumerable.Range(0, (int)block.PageCount).Count(page =>
                block.Span((long)page << 12, 4096).ContainsAnyExcept((byte)0));
            Assert.Equal(data, saved.CountPagesHoldingData(copy));
        }

        Assert.Equal(
            guest.Memory.Blocks.Select(static block => new BlockDigest(block.Name, block.Length,
                Convert.ToHexStringLower(SHA256.HashData(block.Span(0, (int)block.Length))))),
            saved.ComputeDigests());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4)]
    public async Task It_goes_over_the_wire_and_into_another_file_byte_for_byte(int channels)
    {
        using var guest = await SaveAsync();
        using var saved = MappedRamSource.Open(Vm);
        var copy = Path.Combine(_folder, "copy");
        using var incoming = new MappedRamGuest(copy);
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming,
            new() { MultifdChannels = channels });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);

        var report = await new MigrationSource(saved, new() { MultifdChannels = channels }).MigrateAsync(
            destination.LocalAddresses[0], cancellationToken: TestContext.Current.CancellationToken);
        await receiving;

        Assert.Equal(saved.Memory.Blocks.Sum(saved.CountPagesHoldingData), report.NormalPages);
        Assert.Equal(saved.Memory.TotalPages, report.NormalPages + report.ZeroPages);
        Assert.Equal(File.ReadAllBytes(Vm), File.ReadAllBytes(copy));
    }

    [Fact]
    public async Task Pages_in_holes_are_zero_whatever_the_bitmap_says_and_are_not_looked_at()
    {
        using var guest = await SaveAsync();
        long pagesOffset;
        using (var file = File.OpenHandle(Vm, FileMode.Open, FileAccess.ReadWrite))
        {
            Assert.True(MappedRamReader.TryRead(ImageBytes.Of(file), new MappedRamLimits(long.MaxValue), 0, out var info, out _));
            pagesOffset = info.Blocks[0].PagesOffset;
            LinuxFile.TryPunchHole(file, pagesOffset, 1 << 20);
        }

        using var saved = MappedRamSource.Open(Vm);
        var block = saved.Memory.Blocks[0];
        Assert.False(saved.PagesHoldingData[block].TryFindSetRun(0, block.PageCount, out var first, out _) && first < 256);
        using var incoming = new TestIncomingGuest();
        await PrecopyTests.MigrateAsync(saved, incoming, channels: 2);
        Assert.False(incoming.Memory!.Blocks[0].Span(0, 1 << 20).ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_file_that_becomes_shorter_on_the_way_is_an_error_and_not_the_end_of_the_process(int channels)
    {
        using var guest = await SaveAsync();
        using var saved = MappedRamSource.Open(Vm);
        using (var file = File.OpenHandle(Vm, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            RandomAccess.SetLength(file, 2 << 20);
        }

        using var incoming = new TestIncomingGuest();

        var failure = await Assert.ThrowsAsync<MigrationException>(() => PrecopyTests.MigrateAsync(saved, incoming, channels));

        Assert.Contains("became shorter", failure.Message, StringComparison.Ordinal);
        Assert.Throws<EndOfStreamException>(() => saved.ComputeDigests());
        Assert.False(incoming.Started);
    }

    [Fact]
    public async Task A_UUID_comes_from_the_file_or_from_who_opens_it_and_never_from_both()
    {
        using var guest = await SaveAsync();
        var uuid = Guid.NewGuid();
        using (var saved = MappedRamSource.Open(Vm, uuid))
        {
            Assert.Equal(uuid, saved.Uuid);
            Assert.False(saved.ValidatesUuid);
        }

        WriteExample(ExampleImage.Contents with { Uuid = uuid });
        using (var saved = MappedRamSource.Open(Vm))
        {
            Assert.Equal(uuid, saved.Uuid);
            Assert.True(saved.ValidatesUuid);
        }

        Assert.Throws<InvalidDataException>(() => MappedRamSource.Open(Vm, Guid.NewGuid()));
    }

    /// <summary>QEMU for Arm takes a stream that does not state its page size for one with pages of 1 KiB.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_target_page_size_is_stated_in_a_copy_exactly_when_the_file_states_it(bool stated)
    {
        WriteExample(ExampleImage.Contents with { TargetPageBits = stated ? 12 : null });
        var copy = Path.Combine(_folder, "copy");
        using (var saved = MappedRamSource.Open(Vm))
        using (var incoming = new MappedRamGuest(copy))
        {
            await PrecopyTests.MigrateAsync(saved, incoming, channels: 0);
            Assert.Equal(stated, incoming.Machine!.AnnouncesTargetPageSize);
        }

        using var again = MappedRamSource.Open(copy);
        Assert.Equal(stated, again.AnnouncesTargetPageSize);
    }

    [Fact]
    public void What_is_no_saved_VM_says_so()
    {
        File.WriteAllText(Vm, "");
        Assert.Contains("not a complete saved VM", Assert.Throws<InvalidDataException>(() => MappedRamSource.Open(Vm)).Message,
            StringComparison.Ordinal);
        File.WriteAllText(Vm, "#!/bin/sh, or something else that is much longer than a header");
        Assert.Contains("not a complete saved VM", Assert.Throws<InvalidDataException>(() => MappedRamSource.Open(Vm)).Message,
            StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => MappedRamSource.Open(Vm + "2"));
        Assert.ThrowsAny<Exception>(() => MappedRamSource.Open(_folder));
    }

    [Fact]
    public void A_damaged_file_is_refused_or_still_a_saved_VM_within_its_own_bytes()
    {
        WriteExample(ExampleImage.Contents with { Blocks = [new("pc.ram", 1 << 20), new("pc.bios", 0x40000)] });
        var bytes = File.ReadAllBytes(Vm);
        // Where something stands: the head, the entry between the blocks, the tail. Pages are in between.
        int[] places = [.. Enumerable.Range(0, 0x200), .. Enumerable.Range(0x200000, 0x100),
            .. Enumerable.Range(bytes.Length - 1000, 1000)];
        Gen.Select(Gen.Int[0, places.Length - 1], Gen.Byte, Gen.Bool, Gen.Int[0, bytes.Length]).Sample(
            (index, value, cut, length) =>
            {
                var place = places[index];
                var copy = cut ? bytes[..length] : (byte[])bytes.Clone();
                if (place < copy.Length)
                {
                    copy[place] = value;
                }

                var path = Path.Combine(_folder, $"{Guid.NewGuid():N}");
                File.WriteAllBytes(path, copy);
                try
                {
                    using var saved = MappedRamSource.Open(path);
                    Assert.All(saved.Memory.Blocks, block => Assert.InRange(saved.CountPagesHoldingData(block), 0, block.PageCount));
                    _ = saved.ComputeDigests();
                }
                catch (InvalidDataException refused)
                {
                    Assert.Contains(path, refused.Message, StringComparison.Ordinal);
                }
                finally
                {
                    File.Delete(path);
                }
            },
            iter: 200,
            threads: 1);
    }

    [Fact]
    public async Task Sections_from_before_the_memory_go_before_the_memory()
    {
        var early = DeviceStreamBuilder.Section("0000:00:01.0/virtio-mem-device-early", [1, 2, 3], id: 9);
        var devices = new DeviceState(early, ExampleImage.Devices.Sections, ExampleImage.Devices.Description, []);
        WriteExample(ExampleImage.Contents with { EarlySections = early, Blocks = [new("pc.ram", 1 << 20)] }, devices);
        using var saved = MappedRamSource.Open(Vm);
        using var incoming = new TestIncomingGuest();

        await PrecopyTests.MigrateAsync(saved, incoming, channels: 1);

        Assert.Equal(early, incoming.Machine!.EarlySections.ToArray());
        Assert.Equal(early, incoming.Devices!.EarlySections.ToArray());
        Assert.Equal(devices.Sections.ToArray(), incoming.Devices.Sections.ToArray());
        Assert.Equal(devices.Description.ToArray(), incoming.Devices.Description.ToArray());
    }

    private void WriteExample(MappedRamContents contents, DeviceState? devices = null)
    {
        var layout = MappedRamLayout.Create(contents);
        using var file = File.OpenHandle(Vm, FileMode.Create, FileAccess.ReadWrite);
        foreach (var piece in layout.Pieces)
        {
            RandomAccess.Write(file, piece.Bytes.Span, piece.Offset);
        }

        RandomAccess.Write(file, layout.BuildTail(devices ?? ExampleImage.Devices), layout.TailOffset);
    }

    private async Task<TestGuest> SaveAsync()
    {
        var guest = TestGuest.Patterned(16 << 20);
        guest.Memory.Blocks[0].Span(8 << 20, 4 << 20).Clear();
        using var incoming = new MappedRamGuest(Vm);
        await PrecopyTests.MigrateAsync(guest, incoming, channels: 0);
        return guest;
    }
}
