using DataPlane.Guard.Qmp;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class KnownBlocksTests
{
    private const string Table72 =
        "              Block Name    PSize              Offset               Used              Total\r\n"
        + "                  pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000\r\n"
        + "    /rom@etc/acpi/tables    4 KiB  0x0000000005100000 0x0000000000020000 0x0000000000200000\r\n"
        + " 0000:00:02.0/e1000e.rom    4 KiB  0x00000000050c0000 0x0000000000040000 0x0000000000040000\r\n";

    private const string Table111 =
        "              Block Name    PSize              Offset               Used              Total                HVA  RO\r\n"
        + "                    mem0    2 MiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007f1d5be00000  rw\r\n"
        + "   a name with two words    4 KiB  0x0000000005340000 0x0000000000001000 0x0000000000001000 0x00007f1d5b600000  ro\r\n";

    [Fact]
    public void The_tables_of_old_and_new_versions_are_understood()
    {
        var old = Take(Table72);
        Assert.True(old.MayHave("pc.ram"u8, 0x3fff000));
        Assert.True(old.MayHave("/rom@etc/acpi/tables"u8, 0x100000)); // a block may grow to its total length
        Assert.True(old.MayHave("0000:00:02.0/e1000e.rom"u8, 0));

        var newer = Take(Table111);
        Assert.True(newer.MayHave("mem0"u8, 0));
        Assert.True(newer.MayHave("a name with two words"u8, 0));
    }

    [Fact]
    public void Another_name_or_an_offset_beyond_the_block_is_not_there()
    {
        var blocks = Take(Table72);
        Assert.False(blocks.MayHave("no.such.block"u8, 0));
        Assert.False(blocks.MayHave("Block Name"u8, 0));
        Assert.False(blocks.MayHave("pc.ram"u8, 0x4000000));
    }

    [Fact]
    public void As_long_as_QEMU_has_not_said_any_name_may_be_one()
    {
        var blocks = new KnownBlocks();
        blocks.Take("unknown command: 'info ramblock'\r\n");
        Assert.False(blocks.IsKnown);
        Assert.True(blocks.MayHave("no.such.block"u8, 0));
    }

    [Fact]
    public void Rows_that_no_QEMU_prints_cost_no_time_and_no_memory_and_name_no_block()
    {
        var blocks = new KnownBlocks();
        var spaces = string.Concat(Enumerable.Repeat("a 0x1 ", 1 << 19)) + "\r\n"; // a search that went back would not end
        blocks.Take(spaces + new string(' ', 300) + "n 4 KiB 0x0 0x1" + "\r\n"
            + new string('n', 300) + "  4 KiB  0x0 0x1000 0x1000\r\n" + "name 4 KiB 0x0 0x1000 0xffffffffffffffff\r\n");
        Assert.False(blocks.IsKnown);

        blocks.Take(string.Concat(Enumerable.Range(0, 10_000).Select(i => $"block{i}    4 KiB  0x0 0x1000 0x1000\r\n")));
        Assert.True(blocks.MayHave("block4095"u8, 0));
        Assert.False(blocks.MayHave("block4096"u8, 0));
    }

    [Fact]
    public void A_name_that_looks_like_numbers_is_a_name_still()
    {
        var blocks = Take("   odd 0x10 name    4 KiB  0x0000000000000000 0x0000000000001000 0x0000000000001000\r\n");
        Assert.True(blocks.MayHave("odd 0x10 name"u8, 0));
    }

    private static KnownBlocks Take(string table)
    {
        var blocks = new KnownBlocks();
        blocks.Take(table);
        Assert.True(blocks.IsKnown);
        return blocks;
    }
}
