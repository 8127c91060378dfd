using System.Buffers;
using System.Text;
using DataPlane.Wire;

namespace DataPlane.FaultTests;

/// <summary>Parts of main streams of sources that want our memory.</summary>
internal static class HostileStream
{
    private const uint RamSection = 1;

    private const int ChunkBytes = 256 * 1024;

    public static byte[] Head { get; } = Build(static stream =>
    {
        StreamHeader.Write(stream.GetSpan(StreamHeader.Size));
        stream.Advance(StreamHeader.Size);
        new ConfigurationSection { MachineName = "pc-q35-10.0" }.Write(stream);
    });

    public static byte[] OpenReturnPath { get; } = Build(static stream =>
        stream.Advance(CommandWriter.WriteOpenReturnPath(stream.GetSpan(CommandWriter.MaxSize))));

    /// <summary>A list of blocks of one page each.</summary>
    public static byte[] RamOf(int blocks) => Build(stream =>
    {
        stream.Advance(SectionHeader.Write(
            stream.GetSpan(SectionHeader.MaxSize), SectionType.Start, RamSection, "ram"u8, instance: 0, version: 4));
        WriteRecord(stream, RamFlags.MemorySize, blocks * (long)TargetPage.Size);
        for (var i = 0; i < blocks; i++)
        {
            new RamBlockEntry(BlockName(i), TargetPage.Size).Write(stream);
        }

        EndSection(stream);
    });

    public static byte[] RamTotal(long bytes) => Build(stream =>
    {
        stream.Advance(SectionHeader.Write(
            stream.GetSpan(SectionHeader.MaxSize), SectionType.Start, RamSection, "ram"u8, instance: 0, version: 4));
        WriteRecord(stream, RamFlags.MemorySize, bytes);
    });

    /// <summary>The end of the memory, with one page: a source that sends none at all is refused here already.</summary>
    public static byte[] EndOfRam { get; } = Build(static stream =>
    {
        stream.Advance(SectionHeader.Write(stream.GetSpan(SectionHeader.MaxSize), SectionType.End, RamSection));
        stream.Advance(RamRecordHeader.Write(
            stream.GetSpan(RamRecordHeader.MaxSize), RamFlags.Zero, 0, Encoding.UTF8.GetBytes(BlockName(0))));
        ZeroPageFill.Write(stream.GetSpan(ZeroPageFill.Size));
        stream.Advance(ZeroPageFill.Size);
        EndSection(stream);
    });

    public static byte[] EmptyRounds { get; } = Repeat(static stream =>
    {
        stream.Advance(SectionHeader.Write(stream.GetSpan(SectionHeader.MaxSize), SectionType.Part, RamSection));
        EndSection(stream);
    });

    public static byte[] Pings { get; } =
        Repeat(static stream => stream.Advance(CommandWriter.WritePing(stream.GetSpan(CommandWriter.MaxSize), 1)));

    /// <summary>Complete device sections of 33 bytes.</summary>
    public static byte[] Devices { get; } = Repeat(static stream =>
    {
        stream.Advance(SectionHeader.Write(stream.GetSpan(SectionHeader.MaxSize), SectionType.Full, 9, "tiny"u8, instance: 0, version: 1));
        stream.Write("ten bytes."u8);
        SectionFooter.Write(stream.GetSpan(SectionFooter.Size), 9);
        stream.Advance(SectionFooter.Size);
    });

    private static string BlockName(int block) => $"{block:x8}{new string('n', WireLimits.MaxNameLength - 8)}";

    private static byte[] Build(Action<ArrayBufferWriter<byte>> write)
    {
        var stream = new ArrayBufferWriter<byte>();
        write(stream);
        return stream.WrittenSpan.ToArray();
    }

    private static byte[] Repeat(Action<ArrayBufferWriter<byte>> write) => Build(stream =>
    {
        while (stream.WrittenCount < ChunkBytes)
        {
            write(stream);
        }
    });

    private static void WriteRecord(ArrayBufferWriter<byte> stream, RamFlags flags, long offset) =>
        stream.Advance(RamRecordHeader.Write(stream.GetSpan(RamRecordHeader.MaxSize), flags, offset));

    private static void EndSection(ArrayBufferWriter<byte> stream)
    {
        WriteRecord(stream, RamFlags.EndOfSection, 0);
        SectionFooter.Write(stream.GetSpan(SectionFooter.Size), RamSection);
        stream.Advance(SectionFooter.Size);
    }
}
