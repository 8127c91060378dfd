using System.Buffers;
using DataPlane.Memory;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the page records of one channel after the switch: on main from the header of a section to its end, on the preempt channel from its
/// first byte to its last.
/// </summary>
internal sealed class PageRecordReader(RecordBuffer input, GuestMemory memory, PageArrivals arrivals) : IDisposable
{
    private readonly HostPageAssembly _assembly = new(arrivals, input.Channel);
    private RamBlock? _block; // each channel continues the block that it named last

    /// <summary>
    /// Places pages up to the end record, and consumes it. Returns false if the peer has ended the stream before a record instead.
    /// </summary>
    /// <exception cref="Transport.ChannelException">The connection is lost, or the stream is malformed.</exception>
    public bool ReadToEnd()
    {
        while (input.TryFill(RamRecordHeader.MinSize))
        {
            var header = ReadHeader();
            switch (header.Kind)
            {
                case RamFlags.EndOfSection:
                    return true;
                case RamFlags.Page:
                    input.Fill(TargetPage.Size, "a page");
                    _assembly.Add(_block!, header.Offset, input.Address);
                    input.Advance(TargetPage.Size);
                    break;
                case RamFlags.Zero:
                    ReadZero(header.Offset);
                    break;
                default:
                    throw input.Violation($"RAM record {header.Kind} in postcopy");
            }
        }

        return input.Available.IsEmpty ? false : throw input.Malformed("the stream ends inside a RAM record");
    }

    public void Dispose() => _assembly.Dispose();

    private void ReadZero(long offset)
    {
        input.Fill(ZeroPageFill.Size, "a zero page");
        if (!ZeroPageFill.TryRead(input.Available, out var error))
        {
            throw input.Malformed(error!);
        }

        _assembly.Add(_block!, offset, source: 0);
        input.Advance(ZeroPageFill.Size);
    }

    private RamRecordHeader ReadHeader()
    {
        while (true)
        {
            var source = input.Available;
            switch (RamRecordHeader.Parse(source, out var header, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    CheckPage(header, source);
                    input.Advance(consumed);
                    return header;
                case OperationStatus.InvalidData:
                    throw input.Malformed(error!);
                default:
                    input.Fill(source.Length + 1, "a RAM record");
                    break;
            }
        }
    }

    private void CheckPage(RamRecordHeader header, ReadOnlySpan<byte> source)
    {
        if (header.Kind is not (RamFlags.Page or RamFlags.Zero))
        {
            return;
        }

        if (header.HasName)
        {
            _block = memory.TryGetBlock(header.Name(source), out var block)
                ? block
                : throw input.Violation($"unknown RAM block {WireName.Quote(header.Name(source))}");
        }
        else if (_block is null)
        {
            throw input.Malformed("a page that continues a block before any block was named");
        }

        if (header.Offset > _block.Length - TargetPage.Size)
        {
            throw input.Violation($"page 0x{header.Offset:x} lies outside of block '{_block.Name}' (0x{_block.Length:x} bytes)");
        }
    }
}
