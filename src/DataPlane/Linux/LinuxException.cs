using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>A system call failed. The message names the call and the reason.</summary>
internal sealed class LinuxException : IOException
{
    public LinuxException(string call, int errno, string? subject = null)
        : base($"{call} failed{(subject is null ? "" : $" for {subject}")}: {Linux.Errno.Describe(errno)}")
    {
        Call = call;
        Errno = errno;
    }

    public string Call { get; }

    public int Errno { get; }

    /// <summary>
    /// Throws for the system call that this thread made last. Nothing may come between that call and this one: any other P/Invoke that
    /// keeps the error number, also inside <see cref="Console"/>, overwrites it.
    /// </summary>
    [DoesNotReturn]
    public static void ThrowLast(string call, string? subject = null)
    {
        var errno = Marshal.GetLastPInvokeError();
        throw new LinuxException(call, errno, subject);
    }
}
