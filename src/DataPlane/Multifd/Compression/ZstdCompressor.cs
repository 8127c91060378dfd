using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Compresses with zstd, as one frame that never ends. libzstd copies its input into its window before it reads it, so it gets the pages
/// straight from guest memory.
/// </summary>
internal sealed class ZstdCompressor(int level) : PayloadCompressor
{
    private readonly nint _context = Zstd.CreateCompressor(level);

    public override MultifdFlags Method => MultifdFlags.Zstd;

    public override int Compress(scoped ref MultifdPacketWriter packet, scoped Span<IoVec> vectors, ref int count)
    {
        if (count == 1)
        {
            return 0;
        }

        var output = new ZstdBuffer(Output, (nuint)OutputBytes);
        foreach (var run in vectors[1..count])
        {
            var input = new ZstdBuffer(run.Address, run.Length);
            while (!input.IsDone)
            {
                Put(ref output, ref input, Zstd.Continue);
            }
        }

        var nothing = default(ZstdBuffer);
        while (Put(ref output, ref nothing, Zstd.Flush) != 0)
        {
        }

        vectors[1] = new IoVec(Output, output.Done);
        count = 2;
        return (int)output.Done;
    }

    protected override void Release() => Zstd.FreeCompressor(_context);

    private nuint Put(ref ZstdBuffer output, ref ZstdBuffer input, int directive)
    {
        if (output.IsDone)
        {
            throw new InvalidOperationException("libzstd made more of a packet than its own bound");
        }

        return Zstd.Compress(_context, ref output, ref input, directive);
    }
}
