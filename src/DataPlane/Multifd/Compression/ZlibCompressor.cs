using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// Compresses with zlib: pages that deflate can make smaller go through the runtime's own deflate, all others are sent as stored blocks
/// straight from guest memory.
/// </summary>
/// <remarks>
/// <para>Every flush ends at a byte, so whole stored blocks can be put between two parts of the deflate stream. The decoder counts their
/// bytes as the past to which later matches refer, but deflate does not know of them. Before it goes on, deflate is therefore given their
/// last 32 KiB, the most that a match can refer back, and its output for them is discarded.</para>
/// <para>zlib does not promise to read its input only once. The pages are therefore copied before, which costs a hundredth of the
/// compression.</para>
/// </remarks>
internal sealed unsafe class ZlibCompressor : PayloadCompressor
{
    private const int WindowBytes = 32 * 1024;
    private const int WindowPages = WindowBytes / TargetPage.Size;
    private const int StagingBytes = 64 * 1024;

    /// <summary>The length field of a stored block has 16 bits.</summary>
    private const int PagesPerStoredBlock = ushort.MaxValue / TargetPage.Size;

    private const int StoredHeaderBytes = 5;
    private const int FreeMarksBytes = 256;

    private readonly DeflateSink _sink;
    private readonly DeflateStream _deflate;
    private readonly bool _storesAll;
    private readonly MemoryMapping _staging = MemoryMapping.Anonymous(StagingBytes + WindowBytes + FreeMarksBytes);
    private readonly long[] _asideOffsets = new long[MultifdPacket.PagesPerPacket];
    private readonly nint[] _asideAddresses = new nint[MultifdPacket.PagesPerPacket];
    private int _aside;
    private int _unknownBytes;
    private bool _begun;

    /// <param name="level">The level, 0 to 9. Level 0 stores all pages.</param>
    public ZlibCompressor(int level)
    {
        _storesAll = level == 0;
        _sink = new DeflateSink(Output, OutputBytes);
        _deflate = new DeflateStream(_sink, new ZLibCompressionOptions { CompressionLevel = level }, leaveOpen: true);
    }

    public override MultifdFlags Method => MultifdFlags.Zlib;

    /// <summary>The last bytes of the stored blocks that deflate has not been given yet, <see cref="_unknownBytes"/> of them.</summary>
    private Span<byte> Unknown => new((void*)(_staging.Address + StagingBytes), WindowBytes);

    public override bool TrySetAside(nint address, long offset)
    {
        // SAFETY: the caller's page.
        if (!_storesAll && !IncompressiblePage.Test((byte*)address))
        {
            return false;
        }

        _asideAddresses[_aside] = address;
        _asideOffsets[_aside++] = offset;
        return true;
    }

    public override int Compress(scoped ref MultifdPacketWriter packet, scoped Span<IoVec> vectors, ref int count)
    {
        if (count == 1 && _aside == 0)
        {
            return 0; // the packet holds only zero pages
        }

        for (var i = 0; i < _aside; i++)
        {
            packet.AddNormal(_asideOffsets[i]);
        }

        _sink.Collected = 0;
        if (!_begun)
        {
            Begin();
        }

        // Going on with deflate after stored blocks costs as much as deflating a window, so storing fewer pages than a window has is not
        // worth it.
        var stores = _aside > 0 && (_storesAll || count == 1 || _aside > WindowPages);
        if (count > 1 || (_aside > 0 && !stores))
        {
            Deflate(vectors[1..count], stores ? 0 : _aside);
        }

        var bytes = _sink.Collected;
        count = 1;
        if (bytes > 0)
        {
            vectors[count++] = new IoVec(Output, (nuint)bytes);
        }

        if (stores)
        {
            bytes += Store(vectors, ref count);
        }

        _aside = 0;
        return bytes;
    }

    protected override void Release()
    {
        _deflate.Dispose();
        _staging.Dispose();
    }

    /// <summary>
    /// Writes the two header bytes of the stream: deflate, a window of 32 KiB, no dictionary. The stream has no end, and so no checksum.
    /// </summary>
    private void Begin()
    {
        _sink.Write([0x78, 0x01]);
        _begun = true;
    }

    private void Deflate(ReadOnlySpan<IoVec> runs, int aside)
    {
        if (_unknownBytes > 0)
        {
            _sink.Discards = true;
            _deflate.Write(Unknown[..Math.Min(_unknownBytes, WindowBytes)]);
            _deflate.Flush();
            _sink.Discards = false;
            _unknownBytes = 0;
        }

        foreach (var run in runs)
        {
            for (nuint at = 0; at < run.Length; at += StagingBytes)
            {
                Deflate(run.Address + (nint)at, (int)Math.Min(run.Length - at, StagingBytes));
            }
        }

        for (var i = 0; i < aside; i++)
        {
            Deflate(_asideAddresses[i], TargetPage.Size);
        }

        _deflate.Flush();
    }

    private void Deflate(nint address, int bytes)
    {
        // SAFETY: the caller vouches for the pages, and there are at most as many bytes as the staging memory has.
        Span<byte> copy = new((void*)_staging.Address, bytes);
        new ReadOnlySpan<byte>((void*)address, bytes).CopyTo(copy);
        _deflate.Write(copy);
    }

    /// <summary>
    /// Adds stored blocks of up to 15 pages, then an empty one, as every flush ends. The last window of pages is sent from the copy that
    /// deflate will be given.
    /// </summary>
    private int Store(Span<IoVec> vectors, ref int count)
    {
        Span<byte> marks = new((void*)(_staging.Address + StagingBytes + WindowBytes), FreeMarksBytes);
        var used = 0;
        for (var i = 0; i < _aside; i++)
        {
            var left = _aside - i;
            if (i % PagesPerStoredBlock == 0)
            {
                AddMark(marks, ref used, Math.Min(left, PagesPerStoredBlock) * TargetPage.Size, vectors, ref count);
            }

            Add(left > WindowPages ? _asideAddresses[i] : Remember(_asideAddresses[i], left), TargetPage.Size, vectors, ref count);
        }

        AddMark(marks, ref used, 0, vectors, ref count);
        return (_aside * TargetPage.Size) + used;
    }

    private void AddMark(Span<byte> marks, ref int used, int length, Span<IoVec> vectors, ref int count)
    {
        var mark = marks.Slice(used, StoredHeaderBytes);
        mark[0] = 0;
        BinaryPrimitives.WriteUInt16LittleEndian(mark[1..], (ushort)length);
        BinaryPrimitives.WriteUInt16LittleEndian(mark[3..], (ushort)~length);
        vectors[count++] = new IoVec((nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(mark)), StoredHeaderBytes);
        used += StoredHeaderBytes;
    }

    /// <summary>Copies one of the last pages of the packet. The copy is what is sent, and what deflate will be given.</summary>
    private nint Remember(nint address, int left)
    {
        if (left == Math.Min(_aside, WindowPages))
        {
            // Makes room by moving out the oldest pages of the window.
            var keep = Math.Min(_unknownBytes, WindowBytes - (left * TargetPage.Size));
            Unknown.Slice(_unknownBytes - keep, keep).CopyTo(Unknown);
            _unknownBytes = keep;
        }

        var copy = Unknown.Slice(_unknownBytes, TargetPage.Size);
        // SAFETY: the caller's page.
        new ReadOnlySpan<byte>((void*)address, TargetPage.Size).CopyTo(copy);
        _unknownBytes += TargetPage.Size;
        return (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(copy));
    }

    private static void Add(nint address, int bytes, Span<IoVec> vectors, ref int count)
    {
        ref var last = ref vectors[count - 1];
        if (last.Address + (nint)last.Length == address)
        {
            last = new IoVec(last.Address, last.Length + (nuint)bytes);
        }
        else
        {
            vectors[count++] = new IoVec(address, (nuint)bytes);
        }
    }
}
