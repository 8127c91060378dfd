using CsCheck;
using DataPlane.Tests.Support;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

[Collection(CountsOfTheProcess.Name)]
public sealed class MultifdPacketWriterTests
{
    [Fact]
    public void Data_packet_is_that_of_the_documentation_whatever_the_buffer_held()
    {
        var header = Dirty();
        var writer = MultifdPacketWriter.Begin(header, "pc.ram"u8, 9);
        writer.AddNormal(0x100000);
        writer.AddZero(0x5000);
        writer.AddNormal(0x101000);
        Assert.Equal((2, 1, 125), (writer.NormalPages, writer.ZeroPages, writer.FreePages));
        Assert.Equal(8192, writer.Finish(writer.NormalPages * 4096));
        Assert.Equal(MultifdPacketReaderTests.Data, header[..MultifdPacket.HeaderSize]);
        Assert.All(header[MultifdPacket.HeaderSize..], b => Assert.Equal(0xCC, b));
    }

    [Fact]
    public void Sync_packet_is_that_of_the_documentation()
    {
        var header = Dirty();
        MultifdPacketWriter.WriteSync(header, 5);
        Assert.Equal(MultifdPacketReaderTests.Sync, header[..MultifdPacket.HeaderSize]);
    }

    [Fact]
    public void A_compressed_packet_carries_method_and_size()
    {
        var header = Dirty();
        var writer = MultifdPacketWriter.Begin(header, "pc.ram"u8, 1, MultifdFlags.Zstd);
        writer.AddNormal(0);
        Assert.Equal(77, writer.Finish(77));
        Assert.True(MultifdPacketReader.TryRead(header, MultifdFlags.Zstd, out var packet, out var error), error);
        Assert.Equal(77, packet.PayloadBytes);
    }

    [Fact]
    public void What_is_written_is_read_in_any_mix_of_pages() =>
        Gen.Select(
            Gen.Select(Gen.Long[0, 1 << 20], Gen.Bool).Array[1, 128],
            Gen.ULong,
            Gen.Char.AlphaNumeric.Array[1, 255]).Sample((pages, number, name) =>
        {
            var header = Dirty();
            byte[] utf8 = [.. name.Select(c => (byte)c)];
            var writer = MultifdPacketWriter.Begin(header, utf8, number);
            foreach ((var page, var zero) in pages)
            {
                Add(ref writer, page * 4096, zero);
            }

            var payload = writer.Finish(writer.NormalPages * 4096);
            if (!MultifdPacketReader.TryRead(header, MultifdFlags.None, out var packet, out _) || !packet.TryCheckOffsets(1L << 33, out _))
            {
                return false;
            }

            var normal = new List<long>();
            var zeros = new List<long>();
            for (var i = 0; i < packet.PageCount; i++)
            {
                (i < packet.NormalPages ? normal : zeros).Add(packet.Offset(i) / 4096);
            }

            return packet.PayloadBytes == payload && packet.PacketNumber == number && packet.BlockName.SequenceEqual(utf8)
                && normal.SequenceEqual(pages.Where(p => !p.Item2).Select(p => p.Item1))
                && zeros.Order().SequenceEqual(pages.Where(p => p.Item2).Select(p => p.Item1).Order())
                && !header.AsSpan(320 + 8 * packet.PageCount, 1344 - 320 - 8 * packet.PageCount).ContainsAnyExcept((byte)0);
        });

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_129th_page_does_not_fit(bool isZero)
    {
        var refused = false;
        var writer = MultifdPacketWriter.Begin(Dirty(), "b"u8, 0);
        for (var i = 0; i < 128; i++)
        {
            Add(ref writer, i * 4096, isZero: i >= 100);
        }

        Assert.Equal(0, writer.FreePages);
        try
        {
            Add(ref writer, 0, isZero);
        }
        catch (InvalidOperationException)
        {
            refused = true;
        }

        Assert.True(refused);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(256)]
    public void A_name_that_does_not_fit_is_refused(int length) =>
        Assert.Throws<ArgumentException>(() => MultifdPacketWriter.Begin(Dirty(), new byte[length], 0).Finish(0));

    [Fact]
    public void Writing_allocates_nothing()
    {
        var header = Dirty();
        var before = GC.GetAllocatedBytesForCurrentThread();
        long sum = 0;
        for (var i = 0; i < 1000; i++)
        {
            var writer = MultifdPacketWriter.Begin(header, "pc.ram"u8, (ulong)i);
            for (var page = 0; page < 100; page++)
            {
                writer.AddNormal(0x100000 + page * 4096);
            }

            writer.AddZero(0x5000);
            sum += writer.Finish(writer.NormalPages * 4096);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(1000L * 100 * 4096, sum);
    }

    private static void Add(ref MultifdPacketWriter writer, long offset, bool isZero)
    {
        if (isZero)
        {
            writer.AddZero(offset);
        }
        else
        {
            writer.AddNormal(offset);
        }
    }

    private static byte[] Dirty() => [.. Enumerable.Repeat((byte)0xCC, MultifdPacket.HeaderSize + 64)];
}
