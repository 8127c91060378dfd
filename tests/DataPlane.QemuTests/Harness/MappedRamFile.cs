using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace DataPlane.QemuTests.Harness;

/// <summary>
/// A saved VM in QEMU's mapped-ram format, read by the letter of the format and by code of the tests alone.
/// Anything unexpected is an <see cref="InvalidDataException"/> with the position.
/// </summary>
internal sealed class MappedRamFile : IDisposable
{
    private const int ChunkBytes = 1 << 20;
    private readonly FileStream _file;

    private MappedRamFile(FileStream file) => _file = file;

    public string Machine { get; private set; } = "";

    public IReadOnlyList<string> Capabilities { get; private set; } = [];

    public byte[]? Uuid { get; private set; }

    /// <summary>As the configuration states them; null where it does not, as for x86.</summary>
    public uint? TargetPageBits { get; private set; }

    public IReadOnlyList<MappedRamBlock> Blocks { get; private set; } = [];

    /// <summary>Devices as the file's own description lists them.</summary>
    public IReadOnlyList<string> Devices { get; private set; } = [];

    public MappedRamBlock Ram => Blocks.Single(block => block.Name == "pc.ram");

    public static MappedRamFile Open(string path)
    {
        var file = new MappedRamFile(new FileStream(path, FileMode.Open, FileAccess.Read));
        try
        {
            file.Parse();
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The block's SHA-256 over its whole length, pages that are not stored counting as zeros.</summary>
    public string Sha256(MappedRamBlock block)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var chunk in Chunks(block))
        {
            hash.AppendData(chunk.Span);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>
    /// The first byte at which the block differs from a dump of the guest's physical memory; null when there is none. Not compared is what
    /// the
    /// board maps over the RAM: video memory and ROM from 0xA0000 to 0xFFFFF.
    /// </summary>
    public long? FirstDifference(MappedRamBlock block, string dumpPath)
    {
        using var dump = File.OpenRead(dumpPath);
        if (dump.Length != block.Length)
        {
            throw new InvalidDataException($"{block.Name} has {block.Length} bytes, the dump {dump.Length}");
        }

        var expected = new byte[ChunkBytes];
        long at = 0;
        foreach (var chunk in Chunks(block))
        {
            dump.ReadExactly(expected, 0, chunk.Length);
            if (at == 0)
            {
                chunk.Span[0xA0000..0x100000].Clear();
                expected.AsSpan(0xA0000..0x100000).Clear();
            }

            var common = chunk.Span.CommonPrefixLength(expected.AsSpan(0, chunk.Length));
            if (common != chunk.Length)
            {
                return at + common;
            }

            at += chunk.Length;
        }

        return null;
    }

    public void Dispose() => _file.Dispose();

    private IEnumerable<Memory<byte>> Chunks(MappedRamBlock block)
    {
        var buffer = new byte[ChunkBytes];
        for (long at = 0; at < block.Length; at += ChunkBytes)
        {
            var chunk = buffer.AsMemory(0, (int)Math.Min(ChunkBytes, block.Length - at));
            RandomAccess.Read(_file.SafeFileHandle, chunk.Span, block.PagesOffset + at);
            for (var page = 0; page < chunk.Length; page += MappedRamBlock.PageSize)
            {
                if (!block.IsStored((at + page) / MappedRamBlock.PageSize))
                {
                    chunk.Span.Slice(page, MappedRamBlock.PageSize).Clear(); // a hole, or stale bytes: never to be read
                }
            }

            yield return chunk;
        }
    }

    private void Parse()
    {
        Expect(U32() == 0x5145564D && U32() == 3, "the stream's magic and version");
        Expect(U8() == 7, "the configuration");
        Machine = Text(checked((int)U32()));
        while (Peek() == 5)
        {
            ParseConfiguration();
        }

        while (Peek() == 4)
        {
            throw Bad("a device section before RAM is not supported by these tests");
        }

        Expect(U8() == 1, "the start of a section");
        var id = U32();
        Expect(id != 0 && Text(U8()) == "ram" && U32() == 0 && U32() == 4, "section ram, instance 0, version 4");
        ParseBlocks();
        EndOfSection(id);
        while (Peek() == 2)
        {
            U8();
            Expect(U32() == id, "a part of section ram");
            EndOfSection(id);
        }

        while (Peek() == 8)
        {
            U8();
            Expect(U16() == 0x0B && U16() == 0, "no command but SWITCHOVER_START");
        }

        Expect(U8() == 3 && U32() == id, "the end of section ram");
        EndOfSection(id);
        ParseDevices();
    }

    private void ParseConfiguration()
    {
        U8();
        var name = Text(U8());
        Expect(U32() == 1, $"version 1 of {name}");
        switch (name)
        {
            case "configuration/capabilities":
                Capabilities = [.. Enumerable.Range(0, checked((int)U32())).Select(_ => Text(U8()))];
                break;
            case "configuration/target-page-bits":
                TargetPageBits = U32();
                break;
            case "configuration/uuid":
                Uuid = Bytes(16);
                break;
            default:
                throw Bad($"unknown {name}");
        }
    }

    private void ParseBlocks()
    {
        var word = U64();
        Expect((word & 0xFFF) == 4, "the list of RAM blocks");
        var missing = word & ~0xFFFL;
        var blocks = new List<MappedRamBlock>();
        while (missing > 0)
        {
            var name = Text(U8());
            var length = U64();
            Expect(length > 0 && length <= missing && length % MappedRamBlock.PageSize == 0, $"the length of {name}");
            missing -= length;
            Expect(U32() == 1 && U64() == MappedRamBlock.PageSize, $"mapped-ram version 1 and 4 KiB pages of {name}");
            var bitmapOffset = U64();
            var pagesOffset = U64();
            // QEMU itself puts the bitmap directly after this header, and the pages at a multiple of 1 MiB.
            Expect(bitmapOffset >= _file.Position && pagesOffset % (1 << 20) == 0, $"the places of {name}");
            _file.Position = bitmapOffset;
            var bitmap = Bytes(checked((int)((length / MappedRamBlock.PageSize + 63) / 64 * 8)));
            Expect(pagesOffset >= _file.Position && pagesOffset + length <= _file.Length, $"the page area of {name}");
            for (var page = length / MappedRamBlock.PageSize; page < bitmap.Length * 8L; page++)
            {
                Expect((bitmap[page / 8] >> (int)(page % 8) & 1) == 0, $"no page behind the end of {name}");
            }

            blocks.Add(new MappedRamBlock(name, length, bitmapOffset, pagesOffset, bitmap));
            _file.Position = pagesOffset + length;
        }

        Blocks = blocks;
        Expect(blocks.DistinctBy(block => block.Name).Count() == blocks.Count, "names that are unique");
    }

    /// <summary>Device sections carry no length; the description after them ends the file and names them.</summary>
    private void ParseDevices()
    {
        var tail = Bytes(checked((int)(_file.Length - _file.Position)));
        for (var at = tail.AsSpan().LastIndexOf("\0\u0006"u8); at >= 0; at = tail.AsSpan(0, at).LastIndexOf("\0\u0006"u8))
        {
            if (at + 6 > tail.Length || BinaryPrimitives.ReadUInt32BigEndian(tail.AsSpan(at + 2)) != tail.Length - at - 6)
            {
                continue;
            }

            using var description = JsonDocument.Parse(tail.AsMemory(at + 6));
            Devices = [.. description.RootElement.GetProperty("devices").EnumerateArray()
                .Select(device => device.GetProperty("name").GetString()!)];
            Expect(tail[0] == 4 && tail[at - 5] == 0x7E, "device sections between RAM and the end of the stream");
            return;
        }

        throw Bad("no description of the devices at the end");
    }

    private void EndOfSection(uint id)
    {
        Expect(U64() == 0x10, "the end of the RAM records");
        Expect(U8() == 0x7E && U32() == id, "the footer of section ram");
    }

    private byte Peek()
    {
        var value = U8();
        _file.Position--;
        return value;
    }

    private byte U8() => Bytes(1)[0];

    private ushort U16() => BinaryPrimitives.ReadUInt16BigEndian(Bytes(2));

    private uint U32() => BinaryPrimitives.ReadUInt32BigEndian(Bytes(4));

    private long U64() => checked((long)BinaryPrimitives.ReadUInt64BigEndian(Bytes(8)));

    private string Text(int length) => Encoding.ASCII.GetString(Bytes(length));

    private byte[] Bytes(int count)
    {
        if (count < 0 || count > _file.Length - _file.Position)
        {
            throw Bad($"{count} bytes are not there");
        }

        var bytes = new byte[count];
        _file.ReadExactly(bytes);
        return bytes;
    }

    private void Expect(bool holds, string what)
    {
        if (!holds)
        {
            throw Bad($"expected {what}");
        }
    }

    private InvalidDataException Bad(string what) => new($"{_file.Name}, before 0x{_file.Position:x}: {what}");
}
