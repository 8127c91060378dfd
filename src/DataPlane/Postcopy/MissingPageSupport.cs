using System.Globalization;
using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>Explains to users what keeps this process from running a guest before its memory has come, and how to permit it.</summary>
internal static class MissingPageSupport
{
    private const string Sysctl = "/proc/sys/vm/unprivileged_userfaultfd";

    /// <summary>Returns what keeps this process from handling missing pages, or null if it may. Asks the kernel.</summary>
    public static string? FindObstacle()
    {
        try
        {
            Userfaultfd.OpenForMissingPages().Dispose();
            return null;
        }
        catch (LinuxException refused)
        {
            return Explain(refused.Call, refused.Errno, ReadLine(Sysctl), IsFiltered(ReadLine("/proc/self/status", "Seccomp:")));
        }
    }

    /// <summary>Returns the explanation for a refused call, in one line.</summary>
    /// <param name="call">The call that was refused.</param>
    /// <param name="errno">The error of the call.</param>
    /// <param name="sysctl">The value of vm.unprivileged_userfaultfd; null if it cannot be read.</param>
    /// <param name="isFiltered">Whether a filter (seccomp) checks the system calls of this process.</param>
    public static string Explain(string call, int errno, string? sysctl, bool isFiltered) => (call, errno) switch
    {
        ("userfaultfd", Errno.EPERM or Errno.EACCES) when sysctl == "0" && !isFiltered =>
            "userfaultfd is not permitted to this user: vm.unprivileged_userfaultfd is 0. Either root (CAP_SYS_PTRACE), "
            + "or 'sysctl vm.unprivileged_userfaultfd=1', or read and write access to /dev/userfaultfd opens it",
        ("userfaultfd", Errno.EPERM or Errno.EACCES or Errno.ENOSYS) when isFiltered =>
            "the system call userfaultfd is refused, most likely by a container's seccomp profile: one that allows userfaultfd opens it, "
            + "or read and write access to /dev/userfaultfd in the container",
        ("userfaultfd", Errno.ENOSYS) => "this kernel has no userfaultfd (CONFIG_USERFAULTFD)",
        ("userfaultfd", Errno.EMFILE or Errno.ENFILE) => $"userfaultfd: {Errno.Describe(errno)}",
        ("ioctl(UFFDIO_API)", Errno.EINVAL) =>
            "this kernel's userfaultfd does not handle missing pages of shared memory and huge pages (Linux 4.11 or later does)",
        _ => string.Create(CultureInfo.InvariantCulture, $"userfaultfd is not to be had: {call}: {Errno.Describe(errno)}"),
    };

    private static bool IsFiltered(string? seccomp) => seccomp is not (null or "0");

    /// <summary>
    /// Returns the first line of a kernel file that begins with <paramref name="name"/>, without that name; null if there is none.
    /// </summary>
    private static string? ReadLine(string path, string name = "")
    {
        try
        {
            return File.ReadLines(path).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?[name.Length..].Trim();
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
