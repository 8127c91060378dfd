using DataPlane.Guard.Qmp;
using DataPlane.Tool.Send;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>What is said of a QEMU that cannot take the VM, and that nothing is said of one that can.</summary>
public sealed class DestinationDifferencesTests : IDisposable
{
    private const string Machine = "pc-q35-10.0";
    private const long Ram = 4L << 20;

    private static readonly RamBlockRow s_ram = new("pc.ram", 4096, Ram, Ram);
    private static readonly RamBlockRow s_rom = new("0000:00:02.0/virtio-net-pci.rom", 4096, 0x40000, 0x40000);
    private static readonly RamBlockRow s_tables = new("/rom@etc/acpi/tables", 4096, 0x20000, 0x200000);

    private static readonly WaitingQemu s_fitting = new()
    {
        Version = new Version(10, 0),
        State = "inmigrate",
        Machine = Machine,
        Capabilities = new HashSet<string>(),
        Channels = 2,
        Compression = "none",
        Tls = false,
        Blocks = [s_ram, s_rom, s_tables],
    };

    private readonly RamBlock[] _blocks =
    [
        RamBlock.Allocate("pc.ram", Ram, new()),
        RamBlock.Allocate(s_rom.Name, 0x40000, new()),
        RamBlock.Allocate(s_tables.Name, 0x20000, new()),
    ];

    public void Dispose()
    {
        foreach (var block in _blocks)
        {
            block.Dispose();
        }
    }

    [Fact]
    public void Nothing_is_said_of_a_destination_that_fits()
    {
        Assert.Empty(Find(s_fitting, new()));
        Assert.Empty(Find(s_fitting with { Capabilities = Set("multifd") }, new() { MultifdChannels = 2 }));
        Assert.Empty(Find(s_fitting with { Capabilities = Set("postcopy-ram") }, new()));
        Assert.Empty(Find(
            s_fitting with { Capabilities = Set("postcopy-ram", "postcopy-preempt") }, new() { Postcopy = true, Preempt = true }));
    }

    [Fact]
    public void Nothing_is_said_of_what_the_monitor_does_not_tell() =>
        Assert.Empty(Find(s_fitting with { Machine = null, Blocks = [] }, new() { HostPageSizes = Pages(2 << 20) }));

    [Fact]
    public void A_block_that_a_firmware_file_grows_into_may_have_another_length() =>
        Assert.Empty(Find(s_fitting with { Blocks = [s_ram, s_rom, s_tables with { UsedBytes = 0x1000 }] }, new()));

    [Fact]
    public void Each_difference_has_its_words()
    {
        Assert.Contains("its state is 'running'", Only(s_fitting with { State = "running" }), StringComparison.Ordinal);
        Assert.Contains("'pc-q35-9.2'", Only(s_fitting with { Machine = "pc-q35-9.2" }), StringComparison.Ordinal);
        Assert.Contains("capability multifd is off", Only(s_fitting, new() { MultifdChannels = 2 }), StringComparison.Ordinal);
        var multifd = s_fitting with { Capabilities = Set("multifd") };
        Assert.Contains("say --channels 2", Only(multifd), StringComparison.Ordinal);
        Assert.Contains("waits for 2 multifd channels", Only(multifd, new() { MultifdChannels = 3 }), StringComparison.Ordinal);
        Assert.Contains(
            "multifd-compression is 'none', --compression says 'zstd'",
            Only(multifd, new() { MultifdChannels = 2, Compression = CompressionMethod.Zstd }), StringComparison.Ordinal);
        Assert.Contains("postcopy-ram is off", Only(s_fitting, new() { Postcopy = true }), StringComparison.Ordinal);
        Assert.Contains(
            "postcopy-preempt is on",
            Only(s_fitting with { Capabilities = Set("postcopy-ram", "postcopy-preempt") }, new() { Postcopy = true }),
            StringComparison.Ordinal);
        Assert.Contains("say --tls-dir", Only(s_fitting with { Tls = true }), StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_is_compared_block_by_block()
    {
        Assert.Contains(
            "no RAM block '0000:00:02.0/virtio-net-pci.rom' (256 KiB)", Only(s_fitting with { Blocks = [s_ram, s_tables] }),
            StringComparison.Ordinal);
        var rom = Only(s_fitting with { Blocks = [s_ram, s_rom with { UsedBytes = 0x80000, TotalBytes = 0x80000 }, s_tables] });
        Assert.Contains("has 524,288 bytes there and 262,144 bytes in the saved VM", rom, StringComparison.Ordinal);
        Assert.Contains("another ROM", rom, StringComparison.Ordinal);
        Assert.Contains(
            "has 65,536 bytes there and 131,072 bytes in the saved VM", // no room for what it has grown to
            Only(s_fitting with { Blocks = [s_ram, s_rom, s_tables with { UsedBytes = 0x10000, TotalBytes = 0x10000 }] }),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Pages_are_compared_where_they_were_said_and_found_where_not()
    {
        var huge = s_fitting with
        {
            Capabilities = Set("postcopy-ram"),
            Blocks = [s_ram with { PageBytes = 2 << 20 }, s_rom, s_tables],
        };
        Assert.Empty(Find(huge, new() { Postcopy = true }));
        Assert.Empty(Find(huge, new() { Postcopy = true, HostPageSizes = Pages(2 << 20) }));
        Assert.Contains(
            "lies on pages of 2.00 MiB there, --huge-pages says 4.00 MiB",
            Only(huge, new() { Postcopy = true, HostPageSizes = Pages(4 << 20) }), StringComparison.Ordinal);
        Assert.Equal(Pages(2 << 20), DestinationDifferences.PageSizes(huge, _blocks));
        Assert.Empty(DestinationDifferences.PageSizes(s_fitting, _blocks));
    }

    [Theory]
    [InlineData(5L << 20)] // no power of two
    [InlineData(8L << 20)] // more than the block
    [InlineData(512)]
    [InlineData(1L << 50)]
    public void A_size_that_no_pages_of_the_block_have_is_as_good_as_none(long size)
    {
        var there = s_fitting with
        {
            Capabilities = Set("postcopy-ram"),
            Blocks = [s_ram with { PageBytes = size }, s_rom, s_tables],
        };
        Assert.Empty(DestinationDifferences.PageSizes(there, _blocks));
        Assert.Empty(Find(there, new() { Postcopy = true, HostPageSizes = Pages(2 << 20) }));
    }

    [Fact]
    public void QEMUs_table_tells_pages_and_both_lengths()
    {
        const string Table =
            """
                          Block Name    PSize              Offset               Used              Total                HVA  RO
                              pc.ram    2 MiB  0x0000000000000000 0x0000000008000000 0x0000000008000000 0x00007f7b2fe00000  rw
                /rom@etc/acpi/tables    4 KiB  0x0000000008100000 0x0000000000020000 0x0000000000200000 0x00007f7b2f400000  ro
                            gigantic    1 GiB  0x0000000000000000 0x0000000040000000 0x0000000040000000
            """;
        Assert.Equal(
            [
                new RamBlockRow("pc.ram", 2 << 20, 128 << 20, 128 << 20), new RamBlockRow("/rom@etc/acpi/tables", 4096, 0x20000, 0x200000),
                new RamBlockRow("gigantic", 1 << 30, 1 << 30, 1 << 30),
            ],
            RamBlockTable.Parse(Table));
    }

    private static HashSet<string> Set(params string[] names) => [.. names];

    private static Dictionary<string, long> Pages(long size) => new() { ["pc.ram"] = size };

    private IReadOnlyList<string> Find(WaitingQemu there, MigrationSourceOptions options) =>
        DestinationDifferences.Find(there, Machine, _blocks, options);

    private string Only(WaitingQemu there, MigrationSourceOptions? options = null) => Assert.Single(Find(there, options ?? new()));
}
