using DataPlane.MainStream;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>What the records of single pages carry: XBZRLE, zlib, zeros.</summary>
internal sealed class PageRecords : IFuzzTarget
{
    private readonly GuardedGuest _guest = new(("page", TargetPage.Size));
    private readonly byte[] _room = new byte[16];

    public string Reads => "codecs of single pages: XBZRLE deltas, zlib, fill bytes, into a page between guard pages";

    public int MaxInputBytes => 4200;

    public long MaxAllocatedBytes => 64 << 10;

    public void Dispose() => _guest.Dispose();

    public bool Run(ReadOnlySpan<byte> input)
    {
        var page = _guest.Memory.Blocks[0].Span(0, TargetPage.Size);
        page.Clear();
        var choices = new FuzzInput(input);
        switch (choices.Choice(3))
        {
            case 0:
                return Delta(choices.Rest, page);
            case 1:
                return Compressed(choices.Rest, page);
            default:
                var accepted = ZeroPageFill.TryRead(choices.Rest, out var error);
                Oracle.Consistent(accepted, error);
                Oracle.Holds(!accepted || choices.Rest[0] == 0);
                return accepted;
        }
    }

    private bool Delta(ReadOnlySpan<byte> source, Span<byte> page)
    {
        var accepted = XbzrleHeader.TryRead(source, out var header, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        XbzrleHeader.Write(_room, header.Length);
        Oracle.Same(_room.AsSpan(0, XbzrleHeader.Size), source[..XbzrleHeader.Size], "XBZRLE header");
        if (source.Length - XbzrleHeader.Size < header.Length)
        {
            return false;
        }

        accepted = Xbzrle.TryApply(source.Slice(XbzrleHeader.Size, header.Length), page, out error);
        Oracle.Consistent(accepted, error);
        return accepted;
    }

    private bool Compressed(ReadOnlySpan<byte> source, Span<byte> page)
    {
        var accepted = CompressedPageHeader.TryRead(source, out var header, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        CompressedPageHeader.Write(_room, header.Length);
        Oracle.Same(_room.AsSpan(0, CompressedPageHeader.Size), source[..CompressedPageHeader.Size], "length of a compressed page");
        if (source.Length - CompressedPageHeader.Size < header.Length)
        {
            return false;
        }

        var inflater = new PageInflater();
        source.Slice(CompressedPageHeader.Size, header.Length).CopyTo(inflater.Input(header.Length));
        return inflater.TryInflate(page);
    }
}
