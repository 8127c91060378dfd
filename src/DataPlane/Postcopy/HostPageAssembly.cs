using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Assembles the target pages of one channel into host pages, because nothing of a host page may be visible before its last target page has
/// come. Used by one thread.
/// </summary>
internal sealed class HostPageAssembly(PageArrivals arrivals, ChannelId channel) : IDisposable
{
    private MemoryMapping? _staging;
    private long _staged;
    private PageBitmap? _filled;
    private RamBlock? _block;
    private long _hostOffset;
    private long _size;
    private long _count;
    private bool _holdsData;

    /// <summary>Adds one target page. A <paramref name="source"/> of 0 means a zero page.</summary>
    /// <exception cref="ChannelException">The page is outside of the host page that the channel has begun, or has come before.</exception>
    public void Add(RamBlock block, long offset, nint source)
    {
        var size = arrivals.Ledger.HostPageSize(block);
        if (size == TargetPage.Size)
        {
            CheckNothingBegun(block, offset);
            Place(block, offset, source, size);
            return;
        }

        if (_block is null)
        {
            Begin(block, offset & -size, size);
        }

        var index = (offset - _hostOffset) >> TargetPage.Shift;
        if (_block != block || index < 0 || index >= _filled!.PageCount)
        {
            CheckNothingBegun(block, offset);
        }

        if (_filled![index])
        {
            throw ChannelException.Violation(channel, $"page 0x{offset:x} of block '{block.Name}' came twice in one host page");
        }

        Fill(index, source);
        if (_count == _filled.PageCount)
        {
            _block = null;
            Place(block, _hostOffset, _holdsData ? _staging!.Address : 0, size);
        }
    }

    public void Dispose()
    {
        _staging?.Dispose();
        arrivals.Staging.Change(ref _staged, 0, "", "");
    }

    private void CheckNothingBegun(RamBlock block, long offset)
    {
        if (_block is not null)
        {
            throw ChannelException.Violation(
                channel, $"page 0x{offset:x} of block '{block.Name}' came inside the host page 0x{_hostOffset:x} of block '{_block.Name}'");
        }
    }

    private void Begin(RamBlock block, long hostOffset, long size)
    {
        if (_size != size)
        {
            arrivals.Staging.Change(ref _staged, size, channel.ToString(), $"a host page of block '{block.Name}'");
            _staging?.Dispose();
            _staging = MemoryMapping.Anonymous(size);
            _filled = new PageBitmap(size >> TargetPage.Shift);
            _size = size;
        }

        _filled!.ClearAll();
        _count = 0;
        _holdsData = false;
        _block = block;
        _hostOffset = hostOffset;
    }

    private unsafe void Fill(long index, nint source)
    {
        // SAFETY: the index lies in the staging memory of this host page, and the caller vouches for a page at the source.
        var page = new Span<byte>((void*)(_staging!.Address + (nint)(index << TargetPage.Shift)), TargetPage.Size);
        if (source == 0)
        {
            page.Clear(); // the memory still holds the host page before this one
        }
        else
        {
            new ReadOnlySpan<byte>((void*)source, TargetPage.Size).CopyTo(page);
            _holdsData = true;
        }

        _filled!.Set(index);
        _count++;
    }

    private void Place(RamBlock block, long offset, nint source, long size)
    {
        if (source == 0)
        {
            arrivals.PlaceZeros(block, offset, size, channel);
        }
        else
        {
            arrivals.Place(block, offset, source, size, channel);
        }
    }
}
