using DataPlane.MainStream;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the page records of one channel after the switch: on main from the header of a section to its end, on the preempt channel from its
/// first byte to its last. Pages are looked at where they were received, and the kernel copies each from there to its place just once.
/// </summary>
internal sealed class PageRecordReader(StreamCursor stream, GuestMemory memory, PageArrivals arrivals) : IDisposable
{
    private readonly HostPageAssembly _assembly = new(arrivals, stream.Channel);
    private readonly PageRecordDecoder _records = new(stream, mayBeEncoded: false) { Memory = memory };

    /// <summary>
    /// Places pages up to the end record, and consumes it. Returns false if the peer has ended the stream before a record instead.
    /// </summary>
    /// <exception cref="Transport.ChannelException">The connection is lost, or the stream is malformed.</exception>
    public bool ReadToEnd()
    {
        while (stream.TryFill(RamRecordHeader.MinSize))
        {
            var record = _records.Read();
            switch (record.Kind)
            {
                case RamFlags.EndOfSection:
                    return true;
                case RamFlags.Page:
                    PlacePage(record);
                    break;
                case RamFlags.Zero:
                    stream.ReadZeroFill();
                    _assembly.Add(record.Block, record.Offset, source: 0);
                    break;
                default:
                    throw stream.Violation($"RAM record {record.Kind} in postcopy");
            }
        }

        return stream.Buffered == 0 ? false : throw stream.Malformed("the stream ends inside a RAM record");
    }

    public void Dispose() => _assembly.Dispose();

    private unsafe void PlacePage(PageRecord record)
    {
        stream.Fill(TargetPage.Size, "a page");
        fixed (byte* page = stream.Peek(TargetPage.Size))
        {
            // SAFETY: the whole page is fixed until it has been placed.
            _assembly.Add(record.Block, record.Offset, (nint)page);
        }

        stream.Advance(TargetPage.Size);
    }
}
