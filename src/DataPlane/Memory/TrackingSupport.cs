using DataPlane.Linux;

namespace DataPlane.Memory;

/// <summary>Explains in a text for people why the kernel does not track writes for this user.</summary>
internal static class TrackingSupport
{
    public static string Explain(string call, int errno, Version kernel) => (call, errno) switch
    {
        ("userfaultfd", Errno.ENOSYS)
            => "this kernel has no userfaultfd",
        ("userfaultfd", Errno.EPERM or Errno.EACCES)
            => "userfaultfd is not permitted to this user (a container's system call filter, or no access to /dev/userfaultfd)",
        ("ioctl(UFFDIO_API)", Errno.EINVAL)
            => $"asynchronous write protection (UFFD_FEATURE_WP_ASYNC) needs Linux 6.7 or later; this is {kernel}",
        ("ioctl(PAGEMAP_SCAN)", Errno.ENOTTY)
            => $"PAGEMAP_SCAN needs Linux 6.7 or later; this is {kernel}",
        ("open", _)
            => $"/proc/self/pagemap cannot be opened: {Errno.Describe(errno)}",
        _ => $"{call} failed: {Errno.Describe(errno)}",
    };
}
