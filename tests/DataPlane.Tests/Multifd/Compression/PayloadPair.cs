using DataPlane.Linux;
using DataPlane.Multifd;
using DataPlane.Multifd.Compression;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Multifd.Compression;

/// <summary>One packet as it would go over a channel.</summary>
internal sealed record CompressedPacket(byte[] Header, byte[] Payload);

/// <summary>Both ends of one channel's compression, with guest memory on either side and no channel between.</summary>
internal sealed class PayloadPair : IDisposable
{
    public const int Pages = 512;

    private readonly RamBlock _source =
        RamBlock.Allocate("pc.ram", Pages * TargetPage.Size, RamAllocation.Default with { HugePages = false });
    private readonly RamBlock _target =
        RamBlock.Allocate("pc.ram", Pages * TargetPage.Size, RamAllocation.Default with { HugePages = false });
    private readonly PayloadCompressor _compressor;
    private readonly PayloadDecompressor _decompressor;

    public PayloadPair(CompressionMethod method, int? level = null)
    {
        _compressor = new CompressionSettings(method, level).CreateCompressor("test")!;
        _decompressor = CompressionSettings.CreateDecompressor(CompressionSettings.FlagsOf(method), "test");
    }

    public Span<byte> SourcePage(int page) => _source.Span((long)page * TargetPage.Size, TargetPage.Size);

    public Span<byte> TargetPageAt(int page) => _target.Span((long)page * TargetPage.Size, TargetPage.Size);

    /// <summary>Makes a packet of these pages, as a channel does.</summary>
    public CompressedPacket Compress(IReadOnlyList<int> pages)
    {
        var header = new byte[MultifdPacket.HeaderSize];
        Span<IoVec> vectors = new IoVec[1 + MultifdPacket.PagesPerPacket + PayloadCompressor.ExtraVectors];
        var packet = MultifdPacketWriter.Begin(header, "pc.ram"u8, 1, _compressor.Method);
        var count = 1;
        foreach (var page in pages)
        {
            var offset = (long)page * TargetPage.Size;
            if (!_compressor.TrySetAside(_source.Address + (nint)offset, offset))
            {
                packet.AddNormal(offset);
                vectors[count++] = new IoVec(_source.Address + (nint)offset, TargetPage.Size);
            }
        }

        packet.Finish(_compressor.Compress(ref packet, vectors, ref count));
        return new CompressedPacket(header, Gather(vectors[1..count]));
    }

    /// <summary>Decodes a packet into the target's memory; null, or what is wrong with it.</summary>
    public string? Decompress(CompressedPacket sent)
    {
        Assert.True(MultifdPacketReader.TryRead(sent.Header, _compressor.Method, out var packet, out var error), error);
        Assert.Equal(sent.Payload.Length, packet.PayloadBytes);
        Span<IoVec> vectors = new IoVec[MultifdPacket.PagesPerPacket];
        return Decompress(sent.Payload, vectors[..PacketPages.PlanScatter(in packet, _target, vectors)]);
    }

    /// <summary>Decodes any bytes as the payload of a packet of the first <paramref name="pages"/> pages.</summary>
    public string? Decompress(byte[] payload, int pages) =>
        Decompress(payload, [new IoVec(_target.Address, (nuint)pages * TargetPage.Size)]);

    public void Dispose()
    {
        _compressor.Dispose();
        _decompressor.Dispose();
        _source.Dispose();
        _target.Dispose();
    }

    private unsafe string? Decompress(byte[] payload, ReadOnlySpan<IoVec> pages)
    {
        var input = _decompressor.Input(payload.Length);
        payload.CopyTo(new Span<byte>((void*)input.Address, payload.Length));
        return _decompressor.Decompress(payload.Length, pages);
    }

    private static unsafe byte[] Gather(ReadOnlySpan<IoVec> vectors)
    {
        var bytes = new List<byte>();
        foreach (var vector in vectors)
        {
            bytes.AddRange(new ReadOnlySpan<byte>((void*)vector.Address, (int)vector.Length));
        }

        return [.. bytes];
    }
}
