using System.Buffers;
using System.Net.Sockets;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>Takes apart what a source sends on one channel of postcopy, and notes which pages came in which order.</summary>
internal sealed class RecordCollector(Socket socket, GuestMemory memory)
{
    private readonly byte[] _buffer = new byte[4096];
    private RamBlock? _block;

    /// <summary>Every page, with the number of the section it came in (0: none).</summary>
    public List<(RamBlock Block, long Page, bool IsZero, int Section)> Pages { get; } = [];

    public int Sections { get; private set; }

    public bool Ended { get; private set; }

    /// <summary>Main: one section, or the end of the stream.</summary>
    public async Task ReadSectionAsync()
    {
        var header = await TakeAsync(5);
        Assert.Contains((SectionType)header[0], (SectionType[])[SectionType.Part, SectionType.End]);
        Sections++;
        var named = false;
        while (await ReadRecordAsync(Sections) is { } wasNamed)
        {
            Assert.True(named || wasNamed, "the first record of a section names its block");
            named = true;
        }

        var footer = await TakeAsync(SectionFooter.Size);
        Assert.Equal([(byte)SectionType.Footer, .. header[1..]], footer);
        if ((SectionType)header[0] == SectionType.End)
        {
            Assert.Equal([0], await TakeAsync(1));
            Ended = true;
        }
    }

    /// <summary>One record; returns whether it named its block, null for the end of a section or channel.</summary>
    public async Task<bool?> ReadRecordAsync(int section = 0)
    {
        var bytes = await TakeAsync(8);
        if ((bytes[7] & (uint)RamFlags.EndOfSection) != 0)
        {
            return null;
        }

        var named = (bytes[7] & (uint)RamFlags.Continue) == 0;
        if (named)
        {
            bytes = [.. bytes, .. await TakeAsync(1)];
            bytes = [.. bytes, .. await TakeAsync(bytes[8])];
        }

        Assert.Equal(OperationStatus.Done, RamRecordHeader.Parse(bytes, out var record, out _, out _));
        if (named)
        {
            Assert.True(memory.TryGetBlock(record.Name(bytes), out _block));
        }

        Assert.NotNull(_block);
        var isZero = record.Kind == RamFlags.Zero;
        var data = await TakeAsync(isZero ? 1 : TargetPage.Size);
        var page = _block.Span(record.Offset, TargetPage.Size);
        Assert.True(isZero ? !page.ContainsAnyExcept((byte)0) : page.SequenceEqual(data), $"page {record.Offset / 4096} of {_block.Name}");
        Pages.Add((_block, record.Offset / TargetPage.Size, isZero, section));
        return named;
    }

    private async Task<byte[]> TakeAsync(int count)
    {
        for (var done = 0; done < count;)
        {
            var read = await socket.ReceiveAsync(_buffer.AsMemory(done, count - done), TestContext.Current.CancellationToken);
            if (read == 0)
            {
                throw new EndOfStreamException();
            }

            done += read;
        }

        return _buffer[..count];
    }
}
