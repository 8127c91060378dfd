using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// A userfaultfd. Closing it unregisters all its memory and lifts every protection. Where memory is registered for missing pages, threads
/// that wait for one then continue with a page of zeros, so the owner must be sure that this does no harm.
/// </summary>
internal sealed class Userfaultfd : IDisposable
{
    public const uint ApiRequest = 0xC018_AA3F;
    public const uint RegisterRequest = 0xC020_AA00;
    public const uint UnregisterRequest = 0x8010_AA01;
    public const uint WakeRequest = 0x8010_AA02;
    public const uint CopyRequest = 0xC028_AA03;
    public const uint ZeroPageRequest = 0xC020_AA04;
    public const uint PoisonRequest = 0xC020_AA08;
    public const uint NewRequest = 0xAA00;

    public const int WakeNumber = 2;
    public const int CopyNumber = 3;

    public const int UserModeOnly = 1;
    public const int CloseOnExec = 0x80000;
    public const int NonBlocking = 0x800;

    private readonly SafeFileHandle _file;

    private Userfaultfd(SafeFileHandle file) => _file = file;

    /// <summary>The features that were asked for; the kernel has granted all of them.</summary>
    public UserfaultFeatures Features { get; private set; }

    /// <summary>The descriptor for a poll set beside an <see cref="EventFd"/>; readable when there are faults.</summary>
    public int Descriptor => (int)_file.DangerousGetHandle();

    /// <summary>
    /// Opens a userfaultfd for asynchronous write protection. Its mode is user-mode-only, which the kernel grants every user. That mode
    /// leaves out only faults of the kernel that somebody has to handle; here the kernel handles all faults by itself, also those inside
    /// system calls.
    /// </summary>
    public static Userfaultfd OpenForWriteTracking()
        => Open(
            UserModeOnly,
            UserfaultFeatures.WriteProtectAsync | UserfaultFeatures.WriteProtectUnpopulated | UserfaultFeatures.WriteProtectShared);

    /// <summary>
    /// Opens a userfaultfd for missing pages. It must also see faults inside system calls, because KVM and the kernel's own I/O touch a
    /// guest's memory, so it needs a privilege or access to /dev/userfaultfd. <see cref="UserfaultFeatures.Poison"/> is among its features
    /// if the kernel has it.
    /// </summary>
    /// <param name="wanted">The optional features that the kernel is asked for; a test leaves out those that older kernels lack.</param>
    public static Userfaultfd OpenForMissingPages(UserfaultFeatures wanted = UserfaultFeatures.Poison)
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

    public static Userfaultfd Open(int flags, UserfaultFeatures features)
    {
        var result = new Userfaultfd(OpenFile(flags | CloseOnExec | NonBlocking));
        try
        {
            result.Negotiate(features);
            result.Features = features;
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Registers a range for <paramref name="mode"/>, one of the constants of <see cref="UserfaultRegister"/>. Returns the set of ioctls
    /// that work on the range, a bit for each number.
    /// </summary>
    public unsafe ulong Register(nint address, long length, ulong mode)
    {
        UserfaultRegister argument = new() { Start = (ulong)address, Length = (ulong)length, Mode = mode };
        // SAFETY: the kernel reads and writes exactly the local struct.
        if (FileCalls.Control(_file, RegisterRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_REGISTER)");
        }

        return argument.Ioctls;
    }

    /// <summary>Unregisters a range: threads that wait for pages of it continue, and pages that are still missing read as zero.</summary>
    public unsafe void Unregister(nint address, long length)
    {
        UserfaultRange argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads exactly the local struct.
        if (FileCalls.Control(_file, UnregisterRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_UNREGISTER)");
        }
    }

    /// <summary>Wakes the threads that wait for pages of a range, whether the pages are there or not.</summary>
    public unsafe void Wake(nint address, long length)
    {
        UserfaultRange argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads exactly the local struct.
        if (FileCalls.Control(_file, WakeRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_WAKE)");
        }
    }

    /// <summary>
    /// Places copies of pages and wakes the threads that wait for them. Returns 0 or the error number; <paramref name="done"/> bytes have
    /// been placed in either case.
    /// </summary>
    public unsafe int Copy(nint destination, nint source, long length, out long done)
    {
        UserfaultCopy argument = new() { Destination = (ulong)destination, Source = (ulong)source, Length = (ulong)length };
        // SAFETY: the kernel reads and writes the local struct, and reads length bytes that the caller vouches for.
        var errno = FileCalls.Control(_file, CopyRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>
    /// Places pages of zeros and wakes the threads that wait for them; huge page memory refuses it. Returns 0 or the error number;
    /// <paramref name="done"/> bytes have been placed in either case.
    /// </summary>
    public unsafe int ZeroPages(nint address, long length, out long done)
    {
        UserfaultFill argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads and writes exactly the local struct.
        var errno = FileCalls.Control(_file, ZeroPageRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>
    /// Makes missing pages unreadable for good (Linux 6.6 and later): a thread that touches one gets SIGBUS, a system call EFAULT. Returns
    /// 0 or the error number; <paramref name="done"/> bytes have been marked in either case.
    /// </summary>
    public unsafe int Poison(nint address, long length, out long done)
    {
        UserfaultFill argument = new() { Start = (ulong)address, Length = (ulong)length };
        // SAFETY: the kernel reads and writes exactly the local struct.
        var errno = FileCalls.Control(_file, PoisonRequest, &argument) == 0 ? 0 : Marshal.GetLastPInvokeError();
        done = Math.Max(argument.Done, 0);
        return errno;
    }

    /// <summary>Reads the pending faults and returns their number, 0 when there is none.</summary>
    public unsafe int ReadFaults(Span<UserfaultMessage> messages)
    {
        fixed (UserfaultMessage* first = messages)
        {
            // SAFETY: no more bytes are asked for than the span has.
            var bytes = UserfaultCalls.ReadFaults(_file, first, (nuint)(messages.Length * sizeof(UserfaultMessage)));
            if (bytes >= 0)
            {
                return (int)bytes / sizeof(UserfaultMessage);
            }

            var errno = Marshal.GetLastPInvokeError();
            return errno is Errno.EAGAIN or Errno.EINTR ? 0 : throw new LinuxException("read(userfaultfd)", errno);
        }
    }

    /// <summary>Waits until there are faults or <paramref name="wake"/> is signalled. Returns false when there are no faults.</summary>
    public unsafe bool WaitForFaults(EventFd wake)
    {
        var descriptors = stackalloc PollFd[2];
        descriptors[0] = new PollFd(Descriptor, PollCalls.PollIn);
        descriptors[1] = new PollFd(wake.Descriptor, PollCalls.PollIn);
        // SAFETY: the array has two entries.
        return PollCalls.Poll(descriptors, 2, -1) > 0 && descriptors[0].Returned != 0;
    }

    public void Dispose() => _file.Dispose();

    // Where the system call is filtered out (containers), the device may still be usable for those whom its permissions admit.
    private static SafeFileHandle OpenFile(int flags)
    {
        var fd = (int)UserfaultCalls.SystemCall(UserfaultCalls.UserfaultfdCall, flags);
        if (fd >= 0)
        {
            return new SafeFileHandle(fd, ownsHandle: true);
        }

        var errno = Marshal.GetLastPInvokeError();

        var device = FileCalls.Open("/dev/userfaultfd", FileCalls.OpenReadWrite | FileCalls.OpenCloseOnExec, 0);
        if (device < 0)
        {
            throw new LinuxException("userfaultfd", errno);
        }

        using var deviceFile = new SafeFileHandle(device, ownsHandle: true);
        return LinuxFile.Own(FileCalls.Control(deviceFile, NewRequest, flags), "ioctl(USERFAULTFD_IOC_NEW)", "/dev/userfaultfd");
    }

    private unsafe void Negotiate(UserfaultFeatures features)
    {
        UserfaultApi argument = new() { Api = UserfaultApi.Version, Features = (ulong)features };
        // SAFETY: the kernel reads and writes exactly the local struct.
        if (FileCalls.Control(_file, ApiRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_API)");
        }
    }
}
