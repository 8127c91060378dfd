using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>A system call failed; says which one and why.</summary>
internal sealed class LinuxException : IOException
{
    internal LinuxException(string call, int errno, string? subject = null)
        : base($"{call} failed{(subject is null ? "" : $" for {subject}")}: {Linux.Errno.Describe(errno)}")
    {
        Call = call;
        Errno = errno;
    }

    internal string Call { get; }

    internal int Errno { get; }

    /// <summary>
    /// Throws for the system call that this thread made last. Nothing may stand between that call and this one: any other P/Invoke
    /// that keeps the error number, <see cref="Console"/> included, overwrites it.
    /// </summary>
    [DoesNotReturn]
    internal static void ThrowLast(string call, string? subject = null)
    {
        var errno = Marshal.GetLastPInvokeError();
        throw new LinuxException(call, errno, subject);
    }
}
