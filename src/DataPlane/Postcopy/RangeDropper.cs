using System.Runtime.InteropServices;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Postcopy;

/// <summary>
/// Gives up ranges of private memory, many in one call: a guest that has written all over its memory has tens of thousands of them, and
/// stands still meanwhile. Where the kernel does not take many (before Linux 6.13), one by one. Used by one thread at a time.
/// </summary>
/// <remarks>
/// Measured on Linux 6.18, 25,000 single pages all over 1 GiB: 40 ms of CPU time in as many calls of madvise, 17 ms in 50 of
/// process_madvise.
/// </remarks>
internal sealed class RangeDropper
{
    private const int MaxRanges = 512;

    private readonly IoVec[] _ranges = new IoVec[MaxRanges];
    private bool _oneByOne;
    private int _count;

    /// <summary>Gives up a range, now or with the next ones; certainly when <see cref="Flush"/> returns.</summary>
    /// <exception cref="LinuxException">The kernel refuses.</exception>
    public void Add(nint address, long length)
    {
        _ranges[_count++] = new IoVec(address, (nuint)length);
        if (_count == MaxRanges)
        {
            Flush();
        }
    }

    public void Flush()
    {
        var rest = _ranges.AsSpan(0, _count);
        _count = 0;
        while (!rest.IsEmpty && !_oneByOne)
        {
            rest = DropTogether(rest);
        }

        foreach (var range in rest)
        {
            DropOne(range);
        }
    }

    /// <summary>What is left: all of it, with a note for the future, where the kernel knows no such call.</summary>
    private unsafe Span<IoVec> DropTogether(Span<IoVec> ranges)
    {
        // A descriptor that is opened anew each time costs next to nothing, and nobody has to remember it.
        using var self = new SafeFileHandle(Libc.OpenProcess(Libc.OpenProcessCall, Environment.ProcessId, 0), ownsHandle: true);
        if (self.IsInvalid)
        {
            _oneByOne = true;
            return ranges;
        }

        nint done;
        int errno;
        fixed (IoVec* first = ranges)
        {
            // SAFETY: the ranges are fixed for the call; the caller vouches for the memory they name, which nobody uses.
            done = Libc.AdviseProcess(Libc.AdviseProcessCall, self, first, (nuint)ranges.Length, Libc.AdviceDontNeed, 0);
            errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
        }

        // Nothing done without an error is no progress: each range alone says what is wrong with it.
        _oneByOne = done == 0 || errno is not (0 or Errno.EINTR or Errno.EAGAIN);
        return done > 0 ? IoVec.Advance(ranges, (nuint)done) : ranges;
    }

    private static void DropOne(IoVec range)
    {
        while (Libc.Advise(range.Address, range.Length, Libc.AdviceDontNeed) != 0)
        {
            if (Marshal.GetLastPInvokeError() is var errno and not (Errno.EINTR or Errno.EAGAIN))
            {
                throw new LinuxException("madvise(MADV_DONTNEED)", errno, $"0x{range.Address:x}");
            }
        }
    }
}
