using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// A userfaultfd. Closing it unregisters all its memory and lifts every protection. Where memory is registered for missing pages, threads
/// that wait for one then continue with a page of zeros, so the owner must be sure that this does no harm.
/// </summary>
internal sealed partial class Userfaultfd : IDisposable
{
    internal const uint ApiRequest = 0xC018_AA3F;
    internal const uint RegisterRequest = 0xC020_AA00;
    internal const uint NewRequest = 0xAA00;

    internal const int UserModeOnly = 1;
    internal const int CloseOnExec = 0x80000;
    internal const int NonBlocking = 0x800;

    private readonly SafeFileHandle _file;

    private Userfaultfd(SafeFileHandle file) => _file = file;

    /// <summary>The features that were asked for; the kernel has granted all of them.</summary>
    internal UserfaultFeatures Features { get; private set; }

    /// <summary>
    /// Opens a userfaultfd for asynchronous write protection. Its mode is user-mode-only, which the kernel grants every user. That mode
    /// leaves out only faults of the kernel that somebody has to handle; here the kernel handles all faults by itself, also those inside
    /// system calls.
    /// </summary>
    internal static Userfaultfd OpenForWriteTracking()
        => Open(
            UserModeOnly,
            UserfaultFeatures.WriteProtectAsync | UserfaultFeatures.WriteProtectUnpopulated | UserfaultFeatures.WriteProtectShared);

    internal static Userfaultfd Open(int flags, UserfaultFeatures features)
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
    internal unsafe ulong Register(nint address, long length, ulong mode)
    {
        UserfaultRegister argument = new() { Start = (ulong)address, Length = (ulong)length, Mode = mode };
        // SAFETY: the kernel reads and writes exactly the local struct.
        if (Libc.Control(_file, RegisterRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_REGISTER)");
        }

        return argument.Ioctls;
    }

    public void Dispose() => _file.Dispose();

    // Where the system call is filtered out (containers), the device may still be usable for those whom its permissions admit.
    private static SafeFileHandle OpenFile(int flags)
    {
        var fd = (int)Libc.SystemCall(Libc.UserfaultfdCall, flags);
        if (fd >= 0)
        {
            return new SafeFileHandle(fd, ownsHandle: true);
        }

        var errno = Marshal.GetLastPInvokeError();

        var device = Libc.Open("/dev/userfaultfd", Libc.OpenReadWrite | Libc.OpenCloseOnExec, 0);
        if (device < 0)
        {
            throw new LinuxException("userfaultfd", errno);
        }

        using var deviceFile = new SafeFileHandle(device, ownsHandle: true);
        return LinuxFile.Own(Libc.Control(deviceFile, NewRequest, flags), "ioctl(USERFAULTFD_IOC_NEW)", "/dev/userfaultfd");
    }

    private unsafe void Negotiate(UserfaultFeatures features)
    {
        UserfaultApi argument = new() { Api = UserfaultApi.Version, Features = (ulong)features };
        // SAFETY: the kernel reads and writes exactly the local struct.
        if (Libc.Control(_file, ApiRequest, &argument) != 0)
        {
            LinuxException.ThrowLast("ioctl(UFFDIO_API)");
        }
    }
}
