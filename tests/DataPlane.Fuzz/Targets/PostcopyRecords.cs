using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>Payloads of the commands of postcopy; the first byte of an input chooses one.</summary>
internal sealed class PostcopyRecords : IFuzzTarget
{
    private const long BlockLength = 1L << 20;
    private const long HostPage = 16 << 10;

    private readonly byte[] _room = new byte[MaxBytes];

    private const int MaxBytes = 8192;

    public string Reads => "codecs of postcopy: advice, discards, the package of device state, received bitmaps";

    public int MaxInputBytes => MaxBytes;

    public long MaxAllocatedBytes => 64 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        switch (choices.Choice(4))
        {
            case 0:
                return Advise(choices.Rest);
            case 1:
                return Discard(choices.Rest);
            case 2:
                return Package(choices.Rest);
            default:
                return Bitmap(choices);
        }
    }

    private bool Advise(ReadOnlySpan<byte> source)
    {
        var accepted = PostcopyAdvise.TryRead(source, out var advise, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        advise.Write(_room);
        Oracle.Same(_room.AsSpan(0, PostcopyAdvise.Size), source[..PostcopyAdvise.Size], "POSTCOPY_ADVISE");
        return true;
    }

    private bool Discard(ReadOnlySpan<byte> source)
    {
        var accepted = PostcopyDiscard.TryRead(source, out var discard, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        var ranges = new ByteRange[discard.RangeCount];
        for (var i = 0; i < ranges.Length; i++)
        {
            ranges[i] = discard[i];
        }

        var size = PostcopyDiscard.Write(_room, discard.BlockName, ranges);
        Oracle.Same(_room.AsSpan(0, size), source, "POSTCOPY_RAM_DISCARD");
        var fits = discard.TryCheckRanges(BlockLength, HostPage, out error);
        Oracle.Consistent(fits, error);
        if (fits)
        {
            Oracle.Holds(ranges.All(range => range is { Start: >= 0, Length: > 0 and <= BlockLength }
                && range.Start <= BlockLength - range.Length && range.Start % HostPage == 0 && range.Length % HostPage == 0));
        }

        return true;
    }

    private static bool Package(ReadOnlySpan<byte> source)
    {
        var accepted = PostcopyPackage.TryRead(source, out var package, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        Oracle.Holds(package.DevicesLength > 0 && package.DevicesStart + package.DevicesLength <= source.Length);
        const int PingSize = 9;
        Oracle.Holds(package.DevicesStart + package.DevicesLength + (package.Pings.Count * PingSize) + CommandHeader.Size == source.Length);
        return true;
    }

    private bool Bitmap(FuzzInput choices)
    {
        long pages = choices.Byte() + 1;
        if (choices.Rest.Length < ReceivedBitmapBody.HeadSize)
        {
            return false;
        }

        var accepted = ReceivedBitmapBody.TryReadHead(choices.Rest, pages, out var error);
        Oracle.Consistent(accepted, error);
        if (accepted)
        {
            ReceivedBitmapBody.WriteHead(_room, pages);
            Oracle.Same(_room.AsSpan(0, ReceivedBitmapBody.HeadSize), choices.Rest[..ReceivedBitmapBody.HeadSize], "head of a bitmap");
        }

        accepted = ReceivedBitmapBody.TryReadEnd(choices.Rest, out error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        ReceivedBitmapBody.WriteEnd(_room);
        Oracle.Same(_room.AsSpan(0, ReceivedBitmapBody.EndSize), choices.Rest[..ReceivedBitmapBody.EndSize], "end of a bitmap");
        return true;
    }
}
