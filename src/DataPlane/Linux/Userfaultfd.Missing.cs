using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <content>Missing pages: faults are read, and pages are placed.</content>
internal sealed partial class Userfaultfd
{
    internal const uint UnregisterRequest = 0x8010_AA01;
    internal const uint WakeRequest = 0x8010_AA02;
    internal const uint CopyRequest = 0xC028_AA03;
    internal const uint ZeroPageRequest = 0xC020_AA04;
    internal const uint PoisonRequest = 0xC020_AA08;

    internal const int WakeNumber = 2;
    internal const int CopyNumber = 3;

    /// <summary>The descriptor for a poll set beside an <see cref="EventFd"/>; readable when there are faults.</summary>
    internal int Descriptor => (int)_file.DangerousGetHandle();

    /// <summary>
    /// Opens a userfaultfd for missing pages. It must also see faults inside system calls, because KVM and the kernel's own I/O touch a
    /// guest's memory, so it needs a privilege or access to /dev/userfaultfd. <see cref="UserfaultFeatures.Poison"/> is among its features
    /// if the kernel has it.
    /// </summary>
    /// <param name="wanted">The optional features that the kernel is asked for; a test leaves out those that older kernels lack.</param>
    internal static Userfaultfd OpenForMissingPages(UserfaultFeatures wanted = UserfaultFeatures.Poison)
    {
        const UserfaultFeatures Needed = UserfaultFeatures.MissingShared | UserfaultFeatures.MissingHuge;
        try
        {
            return Open(0, Needed | (wanted & UserfaultFeatures.Poison));
        }
        catch (LinuxException refused) when (refused.Errno == Errno.EINVAL && (wanted & UserfaultFeatures.Poison) != 0)
        {
            return Open(0, Needed);
        }
    }

    /// <summary>Unregisters a range: threads that wait for pages of it continue, and pages that are still missing read as zero.</summary>
    internal unsafe void Unregister(nint address, long length)
    {
        UserfaultRange argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads exactly the local struct.
        if (Libc.Control(_file, UnregisterRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_UNREGISTER)");
        }
    }

    /// <summary>Wakes the threads that wait for pages of a range, whether the pages are there or not.</summary>
    internal unsafe void Wake(nint address, long length)
    {
        UserfaultRange argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads exactly the local struct.
        if (Libc.Control(_file, WakeRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_WAKE)");
        }
    }

    /// <summary>
    /// Places copies of pages and wakes the threads that wait for them. Returns 0 or the error number; <paramref name="done"/> bytes have
    /// been placed in either case.
    /// </summary>
    internal unsafe int Copy(nint destination, nint source, long length, out long done)
    {
        UserfaultCopy argument = new() { Destination = (ulong)destination, Source = (ulong)source, Length = (ulong)length };
        // SAFETY: the kernel reads and writes the local struct, and reads length bytes that the caller vouches for.
        var errno = Libc.Control(_file, CopyRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>
    /// Places pages of zeros and wakes the threads that wait for them; huge page memory refuses it. Returns 0 or the error number;
    /// <paramref name="done"/> bytes have been placed in either case.
    /// </summary>
    internal unsafe int ZeroPages(nint address, long length, out long done)
    {
        UserfaultFill argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads and writes exactly the local struct.
        var errno = Libc.Control(_file, ZeroPageRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>
    /// Makes missing pages unreadable for good (Linux 6.6 and later): a thread that touches one gets SIGBUS, a system call EFAULT. Returns
    /// 0 or the error number; <paramref name="done"/> bytes have been marked in either case.
    /// </summary>
    internal unsafe int Poison(nint address, long length, out long done)
    {
        UserfaultFill argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads and writes exactly the local struct.
        var errno = Libc.Control(_file, PoisonRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>Reads the pending faults and returns their number, 0 when there is none.</summary>
    internal unsafe int ReadFaults(Span<UserfaultMessage> messages)
    {
        fixed (UserfaultMessage* first = messages)
        {
            // SAFETY: no more bytes are asked for than the span has.
            var bytes = Libc.ReadFaults(_file, first, (nuint)(messages.Length * sizeof(UserfaultMessage)));
            if (bytes >= 0)
            {
                return (int)bytes / sizeof(UserfaultMessage);
            }

            var errno = Marshal.GetLastPInvokeError();
            return errno is Errno.EAGAIN or Errno.EINTR ? 0 : throw new LinuxException("read(userfaultfd)", errno);
        }
    }

    /// <summary>Waits until there are faults or <paramref name="wake"/> is signalled. Returns false when there are no faults.</summary>
    internal unsafe bool WaitForFaults(EventFd wake)
    {
        var descriptors = stackalloc PollFd[2];
        descriptors[0] = new PollFd(Descriptor, Libc.PollIn);
        descriptors[1] = new PollFd(wake.Descriptor, Libc.PollIn);
        // SAFETY: the array has two entries.
        return Libc.Poll(descriptors, 2, -1) > 0 && descriptors[0].Returned != 0;
    }
}
