using System.Buffers;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <content>Reads pages in all their forms and places them.</content>
internal sealed partial class RamSectionReader
{
    private readonly PageInflater _inflater = new();
    private byte[]? _xbzrle;

    private void CheckPage(RamRecordHeader header, ReadOnlySpan<byte> source)
    {
        if (_pages is null)
        {
            throw stream.Malformed("a page before the list of RAM blocks");
        }

        if (header.HasName)
        {
            var name = header.Name(source);
            if (!_pages.Memory.TryGetBlock(name, out var block))
            {
                throw ChannelException.Violation(stream.Channel, $"unknown RAM block {WireName.Quote(name)}, at offset {stream.Position}");
            }

            _lastBlock = block;
        }
        else if (_lastBlock is null)
        {
            throw stream.Malformed("a page that continues a block before any block was named");
        }

        if (header.Offset > _lastBlock.Length - TargetPage.Size)
        {
            throw ChannelException.Violation(
                stream.Channel,
                $"page 0x{header.Offset:x} lies outside of block '{_lastBlock.Name}' (0x{_lastBlock.Length:x} bytes), "
                + $"at offset {stream.Position}");
        }
    }

    /// <summary>Places every PAGE and ZERO record that is completely buffered, without waiting. This is the fast path.</summary>
    private void PlaceBufferedPages(ReceivedPages pages)
    {
        while (stream.Buffered >= RamRecordHeader.MinSize)
        {
            var source = stream.Peek(RamRecordHeader.MaxSize);
            if (RamRecordHeader.Parse(source, out var header, out var consumed, out _) != OperationStatus.Done
                || header.Kind is not (RamFlags.Page or RamFlags.Zero))
            {
                return;
            }

            var isPage = header.Kind == RamFlags.Page;
            if (stream.Buffered < consumed + (isPage ? TargetPage.Size : ZeroPageFill.Size))
            {
                return;
            }

            CheckPage(header, source);
            stream.Advance(consumed);
            if (isPage)
            {
                PlacePage(pages, header.Offset);
            }
            else
            {
                PlaceZero(pages, header.Offset);
            }
        }
    }

    private async ValueTask ReadPageAsync(Record record, CancellationToken cancellationToken)
    {
        var pages = _pages!;
        switch (record.Kind)
        {
            case RamFlags.Page:
                await stream.RequireAsync(TargetPage.Size, "a page", cancellationToken).ConfigureAwait(false);
                PlacePage(pages, record.Offset);
                break;
            case RamFlags.Zero:
                await stream.RequireAsync(ZeroPageFill.Size, "a zero page", cancellationToken).ConfigureAwait(false);
                PlaceZero(pages, record.Offset);
                break;
            case RamFlags.Xbzrle:
                await ReadXbzrleAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            case RamFlags.CompressedPage:
                await ReadCompressedPageAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            default:
                throw new ChannelException(FailureReason.NotSupported, stream.Channel,
                    $"RAM record {record.Kind} is not supported, before offset {stream.Position}");
        }
    }

    private void PlacePage(ReceivedPages pages, long offset)
    {
        stream.CopyTo(_lastBlock!.Span(offset, TargetPage.Size));
        pages.RecordData(_lastBlock, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private void PlaceZero(ReceivedPages pages, long offset)
    {
        if (!ZeroPageFill.TryRead(stream.Peek(ZeroPageFill.Size), out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(ZeroPageFill.Size);
        pages.PlaceZero(_lastBlock!, offset >> TargetPage.Shift);
        ZeroPages++;
    }

    private async ValueTask ReadXbzrleAsync(ReceivedPages pages, long offset, CancellationToken cancellationToken)
    {
        RefuseWithMultifd("XBZRLE");
        await stream.RequireAsync(XbzrleHeader.Size, "an XBZRLE page", cancellationToken).ConfigureAwait(false);
        if (!XbzrleHeader.TryRead(stream.Peek(XbzrleHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(XbzrleHeader.Size);
        await stream.RequireAsync(header.Length, "an XBZRLE page", cancellationToken).ConfigureAwait(false);
        var delta = (_xbzrle ??= new byte[TargetPage.Size]).AsSpan(0, header.Length);
        stream.CopyTo(delta);
        if (!Xbzrle.TryApply(delta, _lastBlock!.Span(offset, TargetPage.Size), out error))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{_lastBlock!.Name}': {error}");
        }

        pages.RecordData(_lastBlock!, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private async ValueTask ReadCompressedPageAsync(ReceivedPages pages, long offset, CancellationToken cancellationToken)
    {
        RefuseWithMultifd("compressed page");
        await stream.RequireAsync(CompressedPageHeader.Size, "a compressed page", cancellationToken).ConfigureAwait(false);
        if (!CompressedPageHeader.TryRead(stream.Peek(CompressedPageHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(CompressedPageHeader.Size);
        await stream.RequireAsync(header.Length, "a compressed page", cancellationToken).ConfigureAwait(false);
        stream.CopyTo(_inflater.Input(header.Length));
        if (!_inflater.TryInflate(_lastBlock!.Span(offset, TargetPage.Size)))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{_lastBlock!.Name}' does not decompress to one page");
        }

        pages.RecordData(_lastBlock!, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private void RefuseWithMultifd(string what)
    {
        if (options.Multifd)
        {
            throw ChannelException.Violation(
                stream.Channel, $"an {what} record in a migration with multifd, before offset {stream.Position}");
        }
    }
}
