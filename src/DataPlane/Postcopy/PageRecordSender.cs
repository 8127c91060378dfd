using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Sends pages as plain records on one channel of postcopy: headers from a pooled block, pages straight from guest memory. On main each
/// call sends a section of its own, which the destination then has as a whole; the preempt channel carries bare records.
/// </summary>
/// <remarks>
/// Used by one caller at a time. Host pages are given as whole runs, and are sent in one piece in ascending order (specification,
/// 4-postcopy section 4.3.1). A record names its block whenever the block changes and, on main, at the beginning of every section.
/// </remarks>
internal sealed class PageRecordSender : IDisposable
{
    /// <summary>The most target pages in one system call; a huge page takes several calls.</summary>
    private const int PagesPerCall = 128;

    private readonly Channel _channel;
    private readonly bool _inSections;
    private readonly uint _sectionId;
    private readonly GuestPageSet? _holdingData;
    private readonly PooledBlock _headers;
    private readonly IoVec[] _vectors = new IoVec[(2 * PagesPerCall) + 1];
    private RamBlock? _lastBlock;
    private int _vectorCount;
    private int _used;
    private int _pending;
    private int _pages;
    private long _normalPages;
    private long _zeroPages;

    private PageRecordSender(Channel channel, BlockPool pool, bool inSections, uint sectionId, GuestPageSet? holdingData)
    {
        _channel = channel;
        _inSections = inSections;
        _sectionId = sectionId;
        _holdingData = holdingData;
        _headers = pool.RentBlock($"{channel.Name} page headers");
    }

    /// <summary>The number of target pages that were sent with their bytes. Any thread may read it.</summary>
    public long NormalPages => Volatile.Read(ref _normalPages);

    /// <summary>The number of target pages that were sent as zero pages. Any thread may read it.</summary>
    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>Creates a sender for the main channel.</summary>
    /// <param name="channel">The main channel, on which nothing else is sent from now on.</param>
    /// <param name="pool">Gives the block for the headers.</param>
    /// <param name="sectionId">The id of the ram section.</param>
    /// <param name="holdingData">
    /// The pages that are not zero, if the host knows them: then no page is tested. Null if every page is to be tested.
    /// </param>
    public static PageRecordSender OnMain(Channel channel, BlockPool pool, uint sectionId, GuestPageSet? holdingData) =>
        new(channel, pool, inSections: true, sectionId, holdingData);

    /// <summary>Creates a sender for the preempt channel.</summary>
    public static PageRecordSender OnPreempt(Channel channel, BlockPool pool, GuestPageSet? holdingData) =>
        new(channel, pool, inSections: false, 0, holdingData);

    /// <summary>Sends all pages of <paramref name="runs"/>. When it returns, the kernel has them.</summary>
    /// <exception cref="ChannelException">The connection is lost.</exception>
    public void Send(ReadOnlySpan<PageRun> runs)
    {
        if (_inSections)
        {
            _used += SectionHeader.Write(_headers.Span[_used..], SectionType.Part, _sectionId);
            _lastBlock = null;
        }

        foreach (var run in runs)
        {
            for (var i = 0; i < run.PageCount; i++)
            {
                Add(run.Block, run.FirstPage + i);
                if (_pages == PagesPerCall)
                {
                    Flush();
                }
            }
        }

        if (_inSections)
        {
            EndSection();
        }

        if (_used > 0)
        {
            Flush();
        }
    }

    /// <summary>Sends the END section, which holds no pages, and the end of the main stream. Postcopy has no VM description.</summary>
    public void SendEnd()
    {
        _used += SectionHeader.Write(_headers.Span, SectionType.End, _sectionId);
        EndSection();
        _headers.Span[_used++] = (byte)SectionType.EndOfFile;
        Flush();
    }

    /// <summary>Sends the record that ends the preempt channel, for a destination that waits for it.</summary>
    public void SendEndOfChannel()
    {
        _used += RamRecordHeader.Write(_headers.Span, RamFlags.EndOfSection, 0);
        Flush();
    }

    public void Dispose() => _headers.Dispose();

    private void Add(RamBlock block, long page)
    {
        var isZero = IsZero(block, page);
        var isNamed = block != _lastBlock;
        _lastBlock = block;
        var flags = (isZero ? RamFlags.Zero : RamFlags.Page) | (isNamed ? 0 : RamFlags.Continue);
        _used += RamRecordHeader.Write(_headers.Span[_used..], flags, page << TargetPage.Shift, isNamed ? block.Utf8Name : default);
        _pages++;
        if (isZero)
        {
            _headers.Span[_used++] = 0;
            _zeroPages++;
            return;
        }

        AddPending();
        _vectors[_vectorCount++] = new IoVec(block.Address + (nint)(page << TargetPage.Shift), TargetPage.Size);
        _normalPages++;
    }

    private unsafe bool IsZero(RamBlock block, long page) =>
        _holdingData is { } data
            ? !data[block][page]
            // SAFETY: the page belongs to the block, whose memory is mapped, and the guest is stopped here.
            : ZeroPage.IsZero((byte*)block.Address + (page << TargetPage.Shift));

    private void AddPending()
    {
        if (_used > _pending)
        {
            _vectors[_vectorCount++] = new IoVec(_headers.Address + _pending, (nuint)(_used - _pending));
        }

        _pending = _used;
    }

    private void EndSection()
    {
        _used += RamRecordHeader.Write(_headers.Span[_used..], RamFlags.EndOfSection, 0);
        SectionFooter.Write(_headers.Span[_used..], _sectionId);
        _used += SectionFooter.Size;
    }

    private void Flush()
    {
        AddPending();
        var result = _channel.Send(_vectors.AsSpan(0, _vectorCount));
        _vectorCount = _used = _pending = _pages = 0;
        if (!result.Complete)
        {
            throw ChannelException.From(result, _channel, "sending pages");
        }
    }
}
