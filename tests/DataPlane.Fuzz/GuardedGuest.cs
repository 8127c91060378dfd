using System.Globalization;
using DataPlane.Linux;

namespace DataPlane.Fuzz;

/// <summary>
/// Memory of a guest whose blocks lie between pages without access: a byte before or after a block ends the process, which AFL reports,
/// or fails the system call that would have written it.
/// </summary>
internal sealed unsafe class GuardedGuest : IDisposable
{
    private readonly nint _area;
    private readonly nuint _length;

    public GuardedGuest(params IReadOnlyList<(string Name, long Length)> blocks)
    {
        _length = (nuint)(blocks.Sum(block => block.Length + TargetPage.Size) + TargetPage.Size);
        _area = Map(0, _length, MemoryCalls.ProtNone, MemoryCalls.MapPrivate | MemoryCalls.MapAnonymous | MemoryCalls.MapNoReserve);
        var next = _area + TargetPage.Size;
        var wrapped = new List<RamBlock>();
        foreach ((var name, var length) in blocks)
        {
            Map(next, (nuint)length, MemoryCalls.ProtRead | MemoryCalls.ProtWrite,
                MemoryCalls.MapPrivate | MemoryCalls.MapAnonymous | MemoryCalls.MapFixed);
            wrapped.Add(RamBlock.Wrap(name, next, length, startsZeroed: true));
            next += (nint)length + TargetPage.Size;
        }

        Memory = new GuestMemory(wrapped);
    }

    public GuestMemory Memory { get; }

    public void Clear()
    {
        foreach (var block in Memory.Blocks)
        {
            block.Span(0, (int)block.Length).Clear();
        }
    }

    /// <summary>Pages that hold something though nobody says that they hold data.</summary>
    public int CountUnreported(ReceivedPages pages)
    {
        var count = 0;
        foreach (var block in Memory.Blocks)
        {
            for (long page = 0; page < block.PageCount; page++)
            {
                if (!pages.HoldingData(block)[page] && block.Span(page << TargetPage.Shift, TargetPage.Size).ContainsAnyExcept((byte)0))
                {
                    count++;
                }
            }
        }

        return count;
    }

    /// <summary>The contents and what is reported of each page, in short.</summary>
    public string Digest(ReceivedPages pages)
    {
        var hash = new HashCode();
        foreach (var block in Memory.Blocks)
        {
            hash.AddBytes(block.Span(0, (int)block.Length));
            foreach (var word in pages.Received(block).Words)
            {
                hash.Add(word);
            }

            foreach (var word in pages.HoldingData(block).Words)
            {
                hash.Add(word);
            }
        }

        return hash.ToHashCode().ToString("x8", CultureInfo.InvariantCulture);
    }

    public void Dispose()
    {
        Memory.Dispose();
        _ = MemoryCalls.UnmapMemory(_area, _length);
    }

    private static nint Map(nint address, nuint length, int protection, int flags)
    {
        var mapped = MemoryCalls.MapMemory(address, length, protection, flags, -1, 0);
        if (mapped == MemoryCalls.MapFailed)
        {
            LinuxException.ThrowLast("mmap", $"{length} bytes");
        }

        return mapped;
    }
}
