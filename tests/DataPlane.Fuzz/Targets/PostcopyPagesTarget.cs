using DataPlane.MainStream;
using DataPlane.Postcopy;
using DataPlane.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.Fuzz.Targets;

/// <summary>
/// The pages of a running postcopy, with host pages of 4 and 16 KiB, through assembly and ledger into a store that checks and counts
/// them.
/// </summary>
internal sealed class PostcopyPagesTarget : IFuzzTarget
{
    private const long HugePage = 4 * TargetPage.Size;
    private const int BlockPages = 16;

    // A block that the longest record hardly fits into: it is compacted again and again.
    private const int BufferBytes = 6 << 10;

    private readonly GuardedGuest _guest = new(("pc.ram", BlockPages * TargetPage.Size), ("huge", BlockPages * TargetPage.Size));
    private readonly BlockPool _pool = new(blockBytes: BufferBytes);
    public string Reads => "pages of a postcopy (PageRecordReader) through host page assembly and ledger into a recording store";

    public int MaxInputBytes => 64 << 10;

    public long MaxAllocatedBytes => 64 << 10;

    public void Dispose()
    {
        _guest.Dispose();
        _pool.Dispose();
    }

    public bool Run(ReadOnlySpan<byte> input)
    {
        _guest.Clear();
        var choices = new FuzzInput(input);
        var state = choices.Byte();
        var asked = choices.Byte();
        var pages = new ReceivedPages(_guest.Memory);
        var ledger = new PageLedger(pages, block => block.Name == "huge" ? HugePage : TargetPage.Size);
        foreach (var block in _guest.Memory.Blocks)
        {
            if ((state & 1) != 0)
            {
                ledger.Discard(block, 0, BlockPages / 2);
            }

            if ((state & 2) != 0)
            {
                Oracle.Holds(ledger.Need(block, asked % BlockPages) == PageNeed.Ask);
            }
        }

        var store = new Store(_guest, pages);
        var arrivals = new PageArrivals(store, ledger, NullLogger.Instance) { RepeatsAllowed = (state & 4) != 0 };
        var stream = new StreamCursor(
            new PiecesSource(choices.Rest.ToArray(), BufferBytes).OpenReader(_pool), ChannelId.Preempt, StreamPlace.AfterSwitch);
        using var reader = new PageRecordReader(stream, _guest.Memory, arrivals);
        var accepted = false;
        try
        {
            accepted = reader.ReadToEnd();
        }
        catch (ChannelException failure)
        {
            Oracle.Holds(failure.Reason is FailureReason.MalformedStream or FailureReason.ProtocolViolation or FailureReason.PeerClosed);
        }

        finally
        {
            stream.Complete();
        }

        Check(store, arrivals, ledger, pages, discards: (state & 1) != 0);
        return accepted;
    }

    private void Check(Store store, PageArrivals arrivals, PageLedger ledger, ReceivedPages pages, bool discards)
    {
        Oracle.Holds(store.Pages == arrivals.DataPages + arrivals.ZeroPages && store.Pages == pages.Count());
        Oracle.Holds(_guest.CountUnreported(pages) == 0);
        Oracle.Holds(ledger.CountMissing() >= 0);
        var owes = discards && ledger.Open().Any(static request => request.Page < BlockPages / 2);
        Oracle.Holds(ledger.SettledAsync().IsCompleted == !owes);
        foreach ((var block, var page) in ledger.Open())
        {
            Oracle.Holds(!ledger.IsReceived(block, page));
        }

        foreach (var block in _guest.Memory.Blocks)
        {
            // Never a part of a host page.
            for (long page = 0; page < BlockPages; page++)
            {
                Oracle.Holds(pages.Received(block)[page] == pages.Received(block)[ledger.HostPageOf(block, page)]);
            }
        }
    }

    private sealed class Store(GuardedGuest guest, ReceivedPages pages) : IPageStore
    {
        public long Pages { get; private set; }

        public unsafe bool Place(RamBlock block, long offset, nint source, long length)
        {
            Take(block, offset, length);
            new ReadOnlySpan<byte>((void*)source, (int)length).CopyTo(block.Span(offset, (int)length));
            return true;
        }

        public bool PlaceZeros(RamBlock block, long offset, long length)
        {
            Take(block, offset, length);
            return true;
        }

        private void Take(RamBlock block, long offset, long length)
        {
            Oracle.Holds(guest.Memory.Blocks.Contains(block) && length == (block.Name == "huge" ? HugePage : TargetPage.Size));
            Oracle.Holds(offset >= 0 && offset % length == 0 && offset <= block.Length - length);
            Oracle.Holds(!pages.Received(block)[offset >> TargetPage.Shift]);
            Pages += length >> TargetPage.Shift;
        }
    }
}
