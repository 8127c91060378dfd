using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>Sends the source the bitmap of the pages of a block that are here (specification, 4-postcopy section 4.6.2).</summary>
internal static class ReceivedBitmapSender
{
    private const string Doing = "sending a received bitmap";

    /// <summary>
    /// Sends the message and the bitmap, and blocks the calling thread, which must be the only one to send on <paramref name="main"/>.
    /// </summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
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
            // SAFETY: all three are fixed for the call. On a little-endian machine the words have the layout of the bitmap on the wire.
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
