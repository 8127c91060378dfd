using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using DataPlane.Linux;

namespace DataPlane.Multifd.Compression;

/// <summary>Decompresses zstd, either the continuous frame that QEMU sends or one complete frame per packet.</summary>
internal sealed class ZstdDecompressor : PayloadDecompressor
{
    /// <summary>
    /// 32 MiB, the window of level 20, which is the highest that a QEMU source can use. A frame that needs a larger window is refused
    /// before anything is allocated for it.
    /// </summary>
    private const int MaxWindowLog = 25;

    /// <summary>The only format that is accepted. libzstd would also accept the formats from before its first release.</summary>
    private const uint FrameMagic = 0xFD2FB528;

    private readonly nint _context = Zstd.CreateDecompressor(MaxWindowLog);
    private bool _insideFrame;

    public override long MemoryBytes => base.MemoryBytes + (long)Zstd.SizeOf(_context);

    public override unsafe string? Decompress(int bytes, ReadOnlySpan<IoVec> pages)
    {
        // SAFETY: the payload has been received into this memory.
        ReadOnlySpan<byte> payload = new((void*)InputAddress, bytes);
        if (!_insideFrame && (!BinaryPrimitives.TryReadUInt32LittleEndian(payload, out var magic) || magic != FrameMagic))
        {
            return "the compressed payload is no zstd frame";
        }

        _insideFrame = true;
        var input = new ZstdBuffer(InputAddress, (nuint)bytes);
        foreach (var run in pages)
        {
            var output = new ZstdBuffer(run.Address, run.Length);
            while (!output.IsDone)
            {
                if (Step(ref output, ref input) is { } error)
                {
                    return error;
                }
            }
        }

        return _insideFrame ? Finish(ref input) : input.IsDone ? null : Ends;
    }

    protected override void Release() => Zstd.FreeDecompressor(_context);

    private string? Step(ref ZstdBuffer output, ref ZstdBuffer input)
    {
        if (!_insideFrame)
        {
            return input.IsDone ? TooShort : Ends;
        }

        var before = input.Done + output.Done;
        var result = Zstd.Decompress(_context, ref output, ref input);
        if (Zstd.IsError(result))
        {
            return $"the compressed payload is no zstd stream: {Zstd.ErrorName(result)}";
        }

        _insideFrame = result != 0;
        return input.Done + output.Done == before && !output.IsDone && _insideFrame ? TooShort : null;
    }

    /// <summary>Decodes the rest of the payload after all pages are complete. The rest must yield nothing.</summary>
    private unsafe string? Finish(ref ZstdBuffer input)
    {
        byte beyond = 0;
        var output = new ZstdBuffer((nint)Unsafe.AsPointer(ref beyond), 1);
        nuint before;
        do
        {
            before = input.Done;
            var result = Zstd.Decompress(_context, ref output, ref input);
            if (Zstd.IsError(result))
            {
                return $"the compressed payload is no zstd stream: {Zstd.ErrorName(result)}";
            }

            if (output.IsDone)
            {
                return TooLong;
            }

            _insideFrame = result != 0;
        }
        while (_insideFrame && input.Done != before);

        return input.IsDone ? null : Ends;
    }
}
