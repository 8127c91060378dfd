using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>Tells the source which pages of a block are here (specification, 4-postcopy section 4.6.2).</summary>
internal static class ReceivedBitmapSender
{
    private const string Doing = "sending a received bitmap";

    /// <summary>Sends message and bitmap, blocking the calling thread, which is the only one to send on <paramref name="main"/>.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public static unsafe void Send(Channel main, RamBlock block, PageBitmap received)
    {
        Span<byte> head = stackalloc byte[ReturnPathWriter.MaxSize + ReceivedBitmapBody.HeadSize];
        Span<byte> end = stackalloc byte[ReceivedBitmapBody.EndSize];
        var size = ReturnPathWriter.WriteReceivedBitmap(head, block.Utf8Name);
        ReceivedBitmapBody.WriteHead(head[size..], received.PageCount);
        ReceivedBitmapBody.WriteEnd(end);
        fixed (byte* first = head, last = end)
        fixed (ulong* words = received.Words)
        {
            // SAFETY: all three are fixed for the call. Words of little-endian machines are the bitmap of the wire.
            Span<IoVec> vectors =
            [
                new IoVec((nint)first, (nuint)(size + ReceivedBitmapBody.HeadSize)),
                new IoVec((nint)words, (nuint)received.Words.Length * sizeof(ulong)),
                new IoVec((nint)last, (nuint)end.Length),
            ];
            var result = main.Send(vectors);
            if (!result.Complete)
            {
                throw ChannelException.From(result, main, Doing);
            }
        }
    }
}
