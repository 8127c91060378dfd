using System.Buffers.Binary;
using System.Diagnostics;
using DataPlane.Tool.Bench;

namespace DataPlane.Tool.Serve;

/// <summary>
/// One virtual processor of a guest that runs before its memory is there. It touches pages at random, compares each with what it must hold,
/// and writes to one in four. Every thread has pages of its own, so it knows exactly what it will read.
/// </summary>
internal sealed class PageToucher : IDisposable
{
    private const int WriteOneIn = 4;

    private static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(1);

    private readonly RamBlock _block;
    private readonly PageContent _content;
    private readonly int _index;
    private readonly int _threads;
    private readonly int[] _written;
    private readonly WritePacer _pacer;
    private readonly ManualResetEventSlim _start;
    private readonly PresentPages _present = new();
    private readonly List<long> _waits = new(1 << 16);
    private readonly Thread _thread;
    private volatile bool _stop;

    /// <param name="block">The guest's memory, which managed code never touches.</param>
    /// <param name="content">What the pages must hold.</param>
    /// <param name="index">The number of this thread among <paramref name="threads"/>.</param>
    /// <param name="threads">The number of threads.</param>
    /// <param name="written">The number of writes to each page.</param>
    /// <param name="pacer">Counts the touches that are due.</param>
    /// <param name="start">Lets the guest run.</param>
    public PageToucher(
        RamBlock block, PageContent content, int index, int threads, int[] written, WritePacer pacer, ManualResetEventSlim start)
    {
        _block = block;
        _content = content;
        _index = index;
        _threads = threads;
        _written = written;
        _pacer = pacer;
        _start = start;
        _thread = new Thread(Run) { Name = $"dp-guest-{index}", IsBackground = true };
        _thread.Start();
    }

    public long Checked { get; private set; }

    public long Written { get; private set; }

    /// <summary>The first page that was wrong; null while there is none. The thread has ended after one.</summary>
    public string? Damage { get; private set; }

    /// <summary>Why a page could not be read: it will never come. The thread has ended then. Null while all pages could be read.</summary>
    public string? Unreadable { get; private set; }

    /// <summary>How long the thread waited for each missing page, in seconds. May be read only when the thread has ended.</summary>
    public IEnumerable<double> Waits => _waits.Select(static ticks => ticks / (double)Stopwatch.Frequency);

    /// <summary>Ends the thread and waits for it, even while it waits for a page.</summary>
    public void Stop()
    {
        _stop = true;
        _start.Set();
        _thread.Join();
    }

    private void Run()
    {
        var random = new Random(_index);
        var expected = new byte[TargetPage.Size];
        var page = GC.AllocateArray<byte>(TargetPage.Size, pinned: true);
        _start.Wait();
        _pacer.Restart();
        var ours = ((_content.Pages - 1 - _index) / _threads) + 1;
        try
        {
            while (!_stop && Damage is null)
            {
                if (_pacer.Take(1) == 0)
                {
                    Thread.Sleep(s_tick);
                }
                else
                {
                    Touch((random.NextInt64(ours) * _threads) + _index, page, expected);
                }
            }
        }
        catch (IOException unreadable)
        {
            Unreadable = unreadable.Message;
        }
    }

    private unsafe void Touch(long number, byte[] page, byte[] expected)
    {
        var address = _block.Address + (nint)(number << TargetPage.Shift);
        var isMissing = !_present.IsPresent(address);
        fixed (byte* bytes = page)
        {
            var before = Stopwatch.GetTimestamp();
            ForeignMemory.Read(address, (nint)bytes, TargetPage.Size);
            if (isMissing)
            {
                _waits.Add(Stopwatch.GetTimestamp() - before);
            }

            _content.Fill(number, _written[number], expected);
            if (!page.AsSpan().SequenceEqual(expected))
            {
                Damage = $"page {number} of the guest at the destination is wrong, after {_content.Generation(number)} writes at the "
                    + $"source and {_written[number]} here";
                return;
            }

            if (++Checked % WriteOneIn != 0)
            {
                return;
            }

            BinaryPrimitives.WriteInt64LittleEndian(page, BinaryPrimitives.ReadInt64LittleEndian(page) + 1);
            ForeignMemory.Write(address, (nint)bytes, sizeof(long));
            _written[number]++;
            Written++;
        }
    }

    public void Dispose() => _present.Dispose();
}
