using System.Globalization;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Linux;

public sealed class MemoryMappingTests
{
    private const int Page = 4096;

    [Theory]
    [InlineData(Page, 0)]
    [InlineData(3 * Page, 1 << 16)]
    [InlineData((4 << 20) + Page, MemoryMapping.HugePageSize)]
    public unsafe void Anonymous_memory_is_aligned_zero_and_writable_to_its_ends(long length, long alignment)
    {
        using var mapping = MemoryMapping.Anonymous(length, alignment);

        Assert.Equal(0, mapping.Address % Math.Max(alignment, Page));
        var bytes = (byte*)mapping.Address;
        for (long i = 0; i < length; i += Page)
        {
            Assert.Equal(0, bytes[i]);
        }

        bytes[0] = 1;
        bytes[length - 1] = 2;
        Assert.Equal(3, bytes[0] + bytes[length - 1]);
    }

    [Fact]
    public void What_was_reserved_for_alignment_is_given_back()
    {
        var before = AddressSpace();
        var mappings = new List<MemoryMapping>();
        for (var i = 0; i < 1000; i++)
        {
            mappings.Add(MemoryMapping.Anonymous(Page, 1 << 30));
        }

        // Each took a gibibyte for a moment; other tests may map a few meanwhile.
        Assert.InRange(AddressSpace() - before, long.MinValue, 500L << 30);
        mappings.ForEach(mapping => mapping.Dispose());
    }

    [Fact]
    public unsafe void A_mapped_file_and_its_reader_see_the_same_bytes()
    {
        using var file = LinuxFile.CreateInMemory("test", 4 * Page);
        using var mapping = MemoryMapping.OfFile(file, Page, 2 * Page);
        ((byte*)mapping.Address)[7] = 42;

        var bytes = new byte[1];
        Assert.Equal(1, RandomAccess.Read(file, bytes, Page + 7));
        Assert.Equal(42, bytes[0]);
    }

    [Fact]
    public unsafe void Populating_and_touching_keep_the_bytes()
    {
        using var mapping = MemoryMapping.Anonymous(8 * Page);
        var bytes = new Span<byte>((void*)mapping.Address, 8 * Page);
        bytes[Page] = 0xFE;

        mapping.Populate(0, mapping.Length);
        mapping.Touch(0, mapping.Length);

        Assert.Equal(0xFE, bytes[Page]);
        Assert.False(bytes[(Page + 1)..].ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Populated_or_touched_memory_has_all_its_pages(bool touch)
    {
        const long Pages = 512;
        using var mapping = MemoryMapping.Anonymous(Pages * Page);
        Assert.Equal(0, PresentPages(mapping));

        if (touch)
        {
            mapping.Touch(0, mapping.Length);
        }
        else
        {
            mapping.Populate(0, mapping.Length);
        }

        Assert.Equal(Pages, PresentPages(mapping));
    }

    [Theory]
    [InlineData(-1, Page)]
    [InlineData(0, 2 * Page + 1)]
    [InlineData(2 * Page, 1)]
    [InlineData(0, -1)]
    [InlineData(long.MaxValue, long.MaxValue)]
    public void A_range_outside_the_mapping_is_refused(long offset, long length)
    {
        using var mapping = MemoryMapping.Anonymous(2 * Page);

        Assert.Throws<ArgumentOutOfRangeException>(() => mapping.Populate(offset, length));
    }

    [Fact]
    public void More_than_the_address_space_is_an_error_with_the_call_and_the_size()
    {
        var e = Assert.Throws<LinuxException>(() => MemoryMapping.Anonymous(1L << 60));

        Assert.Equal(("mmap", Errno.ENOMEM), (e.Call, e.Errno));
        Assert.Contains($"{1L << 60} bytes", e.Message);
    }

    [Fact]
    public void A_file_that_cannot_be_mapped_leaves_nothing_behind()
    {
        using var directory = LinuxFile.Open("/", FileCalls.OpenReadOnly);

        var e = Assert.Throws<LinuxException>(() => MemoryMapping.OfFile(directory, 0, Page));

        Assert.Equal("mmap", e.Call);
    }

    [Fact]
    public void A_disposed_mapping_says_so()
    {
        var mapping = MemoryMapping.Anonymous(Page);
        mapping.Dispose();
        mapping.Dispose();

        Assert.Equal(0, mapping.Address);
        Assert.Throws<ObjectDisposedException>(() => mapping.Populate(0, Page));
    }

    // Bit 63 of a page's entry in pagemap: the page is in memory.
    private static int PresentPages(MemoryMapping mapping)
    {
        using var pageMap = LinuxFile.Open("/proc/self/pagemap", FileCalls.OpenReadOnly);
        var entries = new long[mapping.Length / Page];
        var bytes = RandomAccess.Read(pageMap, MemoryMarshal.AsBytes(entries.AsSpan()), mapping.Address / Page * sizeof(long));
        Assert.Equal(entries.Length * sizeof(long), bytes);
        return entries.Count(entry => entry < 0);
    }

    private static long AddressSpace()
        => long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[0], CultureInfo.InvariantCulture) * Environment.SystemPageSize;

    [Theory]
    [InlineData(0)]
    [InlineData(4096)]
    [InlineData(5 * 4096)]
    public void A_file_mapped_to_be_read_begins_where_it_was_asked_to(long offset)
    {
        using var file = LinuxFile.CreateInMemory("test", 8 * 4096);
        for (var page = 0; page < 8; page++)
        {
            RandomAccess.Write(file, [(byte)(page + 1)], page * 4096);
        }

        using var mapping = MemoryMapping.OfFileToRead(file, offset, 2 * 4096);

        Assert.Equal(offset / 4096 + 1, System.Runtime.InteropServices.Marshal.ReadByte(mapping.FirstByte));
        Assert.Equal(offset / 4096 + 2, System.Runtime.InteropServices.Marshal.ReadByte(mapping.FirstByte + 4096));
    }
}
