using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DataPlane.PostcopyPair;

/// <summary>
/// A thread that reads a word of every page once, outside of managed code, in an order that looks random; whether a touch had to wait the
/// kernel tells, which counts the faults of the thread: a page that is placed already is none.
/// </summary>
internal sealed unsafe partial class Toucher : IDisposable
{
    private const int UsageOfThread = 1;
    private const int MinorFaults = 8; // the field's place in struct rusage, in longs; major ones follow

    private readonly RamBlock _block;
    private readonly List<double> _waits;
    private readonly Thread _thread;
    private volatile bool _stop;
    private Exception? _failure;

    /// <param name="block">Touched by its own host pages; a power of two of them.</param>
    public Toucher(RamBlock block)
    {
        _block = block;
        _waits = new List<double>((int)(block.Length / block.HostPageSize));
        _thread = new Thread(Run) { Name = "vcpu" };
        _thread.Start();
    }

    /// <summary>Waits for its end, which is the end of the pages, and gives its times in microseconds.</summary>
    public double[] Waits
    {
        get
        {
            _thread.Join();
            return _failure is null ? [.. _waits] : throw new InvalidDataException("the guest's memory is wrong", _failure);
        }
    }

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
    }

    private void Run()
    {
        try
        {
            foreach (var offset in TouchOrder.Of(_block.Length, _block.HostPageSize).TakeWhile(_ => !_stop))
            {
                Touch(offset);
            }
        }
        catch (InvalidDataException wrong)
        {
            _failure = wrong;
        }
    }

    private void Touch(long offset)
    {
        var faults = CountFaults();
        var begin = Stopwatch.GetTimestamp();
        long word;
        // SAFETY: the offset lies in the block, and the word is a local.
        _ = Copy(&word, (void*)(_block.Address + (nint)offset), sizeof(long));
        var end = Stopwatch.GetTimestamp();
        if (CountFaults() > faults)
        {
            _waits.Add(Stopwatch.GetElapsedTime(begin, end).TotalMicroseconds);
        }

        if (word != (offset >> TargetPage.Shift) + 1)
        {
            throw new InvalidDataException($"{word} at 0x{offset:x}");
        }
    }

    private static long CountFaults()
    {
        var usage = stackalloc long[18]; // struct rusage
        // SAFETY: the kernel writes 144 bytes.
        return GetUsage(UsageOfThread, usage) == 0
            ? usage[MinorFaults] + usage[MinorFaults + 1]
            : throw new InvalidOperationException("getrusage");
    }

    [LibraryImport("libc", EntryPoint = "memcpy")]
    private static partial nint Copy(void* target, void* source, nuint length);

    [LibraryImport("libc", EntryPoint = "getrusage")]
    private static partial int GetUsage(int who, long* usage);
}
