using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>One piece of memory of a vectored call: <c>struct iovec</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct IoVec(nint address, nuint length)
{
    /// <summary>The kernel refuses a call with more vectors than this (IOV_MAX).</summary>
    public const int MaxPerCall = 1024;

    public readonly nint Address = address;
    public readonly nuint Length = length;

    /// <summary>The memory, or its first <paramref name="limit"/> bytes. The caller vouches for it as long as the span is used.</summary>
    // SAFETY: the span is no longer than the memory that the vector names.
    public unsafe Span<byte> AsSpan(int limit = int.MaxValue) => new((void*)Address, (int)Math.Min(Length, (nuint)limit));

    /// <summary>
    /// The part of <paramref name="vectors"/> that is left after <paramref name="bytes"/> have been transferred. A vector that was
    /// transferred in part is shortened in place. Empty vectors are skipped, so the result is empty or begins with bytes to transfer.
    /// </summary>
    public static Span<IoVec> Advance(Span<IoVec> vectors, nuint bytes)
    {
        var done = 0;
        while (done < vectors.Length && bytes >= vectors[done].Length)
        {
            bytes -= vectors[done++].Length;
        }

        var rest = vectors[done..];
        if (bytes > 0)
        {
            rest[0] = new IoVec(rest[0].Address + (nint)bytes, rest[0].Length - bytes);
        }

        return rest;
    }
}
