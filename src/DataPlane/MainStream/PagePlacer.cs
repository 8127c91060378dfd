using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>Reads the pages of precopy in all their forms, places them in the guest's memory and records them.</summary>
internal sealed class PagePlacer(StreamCursor stream, ReceivedPages pages, bool multifd)
{
    private readonly PageInflater _inflater = new();
    private byte[]? _xbzrle;

    /// <summary>Number of pages that came with their contents.</summary>
    public long NormalPages { get; private set; }

    /// <summary>Number of pages that came as zero records.</summary>
    public long ZeroPages { get; private set; }

    /// <summary>Reads what follows the head of a page record.</summary>
    /// <exception cref="ChannelException">The record is no page, or malformed, or the stream ends inside it.</exception>
    public void Place(PageRecord record)
    {
        var (kind, block, offset) = record;
        switch (kind)
        {
            case RamFlags.Page:
                stream.Fill(TargetPage.Size, "a page");
                stream.CopyTo(block.Span(offset, TargetPage.Size));
                break;
            case RamFlags.Zero:
                stream.ReadZeroFill();
                pages.PlaceZero(block, offset >> TargetPage.Shift);
                ZeroPages++;
                return;
            case RamFlags.Xbzrle:
                ApplyDelta(block, offset);
                break;
            case RamFlags.CompressedPage:
                Inflate(block, offset);
                break;
            default:
                throw new ChannelException(FailureReason.NotSupported, stream.Channel,
                    $"RAM record {kind} is not supported, before offset {stream.Position}");
        }

        pages.RecordData(block, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private void ApplyDelta(RamBlock block, long offset)
    {
        RefuseWithMultifd("XBZRLE");
        stream.Fill(XbzrleHeader.Size, "an XBZRLE page");
        if (!XbzrleHeader.TryRead(stream.Peek(XbzrleHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(XbzrleHeader.Size);
        stream.Fill(header.Length, "an XBZRLE page");
        var delta = (_xbzrle ??= new byte[TargetPage.Size]).AsSpan(0, header.Length);
        stream.CopyTo(delta);
        if (!Xbzrle.TryApply(delta, block.Span(offset, TargetPage.Size), out error))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{block.Name}': {error}");
        }
    }

    private void Inflate(RamBlock block, long offset)
    {
        RefuseWithMultifd("compressed page");
        stream.Fill(CompressedPageHeader.Size, "a compressed page");
        if (!CompressedPageHeader.TryRead(stream.Peek(CompressedPageHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(CompressedPageHeader.Size);
        stream.Fill(header.Length, "a compressed page");
        stream.CopyTo(_inflater.Input(header.Length));
        if (!_inflater.TryInflate(block.Span(offset, TargetPage.Size)))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{block.Name}' does not decompress to one page");
        }
    }

    private void RefuseWithMultifd(string what)
    {
        if (multifd)
        {
            throw ChannelException.Violation(
                stream.Channel, $"an {what} record in a migration with multifd, before offset {stream.Position}");
        }
    }
}
