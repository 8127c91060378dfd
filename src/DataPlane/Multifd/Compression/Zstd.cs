using System.Runtime.InteropServices;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// The part of libzstd's stable interface that is used here. The library comes with a package for glibc on x64 and Arm64; elsewhere the
/// system's own is taken.
/// </summary>
/// <remarks>
/// Function pointers, not imports: one library under two names, and its absence is an answer rather than an exception at the first call.
/// </remarks>
internal static unsafe class Zstd
{
    public const int CompressionLevel = 100; // ZSTD_c_compressionLevel
    public const int WindowLogMax = 100; // ZSTD_d_windowLogMax
    public const int Continue = 0; // ZSTD_e_continue
    public const int Flush = 1; // ZSTD_e_flush

    private static readonly nint s_library = Load();

    private static readonly delegate* unmanaged<nint> s_createCompressor = (delegate* unmanaged<nint>)Find("ZSTD_createCCtx");
    private static readonly delegate* unmanaged<nint, nuint> s_freeCompressor = (delegate* unmanaged<nint, nuint>)Find("ZSTD_freeCCtx");

    private static readonly delegate* unmanaged<nint, int, int, nuint> s_setCompressor =
        (delegate* unmanaged<nint, int, int, nuint>)Find("ZSTD_CCtx_setParameter");

    private static readonly delegate* unmanaged<nint, ZstdBuffer*, ZstdBuffer*, int, nuint> s_compress =
        (delegate* unmanaged<nint, ZstdBuffer*, ZstdBuffer*, int, nuint>)Find("ZSTD_compressStream2");

    private static readonly delegate* unmanaged<nint> s_createDecompressor = (delegate* unmanaged<nint>)Find("ZSTD_createDCtx");
    private static readonly delegate* unmanaged<nint, nuint> s_freeDecompressor = (delegate* unmanaged<nint, nuint>)Find("ZSTD_freeDCtx");

    private static readonly delegate* unmanaged<nint, int, int, nuint> s_setDecompressor =
        (delegate* unmanaged<nint, int, int, nuint>)Find("ZSTD_DCtx_setParameter");

    private static readonly delegate* unmanaged<nint, ZstdBuffer*, ZstdBuffer*, nuint> s_decompress =
        (delegate* unmanaged<nint, ZstdBuffer*, ZstdBuffer*, nuint>)Find("ZSTD_decompressStream");

    private static readonly delegate* unmanaged<nint, nuint> s_sizeOfDecompressor =
        (delegate* unmanaged<nint, nuint>)Find("ZSTD_sizeof_DCtx");

    private static readonly delegate* unmanaged<nuint, uint> s_isError = (delegate* unmanaged<nuint, uint>)Find("ZSTD_isError");
    private static readonly delegate* unmanaged<nuint, byte*> s_errorName = (delegate* unmanaged<nuint, byte*>)Find("ZSTD_getErrorName");

    public static bool IsError(nuint result) => s_isError(result) != 0;

    public static string ErrorName(nuint result) => Marshal.PtrToStringUTF8((nint)s_errorName(result))!;

    /// <exception cref="PlatformNotSupportedException">There is no libzstd.</exception>
    public static nint CreateCompressor(int level)
    {
        ThrowIfMissing();
        var context = NotNull(s_createCompressor());
        ThrowIfError(s_setCompressor(context, CompressionLevel, level));
        return context;
    }

    public static void FreeCompressor(nint context) => _ = s_freeCompressor(context);

    /// <summary>Returns the bytes that are still inside; an error is a fault of ours.</summary>
    public static nuint Compress(nint context, ref ZstdBuffer output, ref ZstdBuffer input, int directive)
    {
        fixed (ZstdBuffer* to = &output, from = &input)
        {
            return ThrowIfError(s_compress(context, to, from, directive));
        }
    }

    /// <exception cref="PlatformNotSupportedException">There is no libzstd.</exception>
    public static nint CreateDecompressor(int maxWindowLog)
    {
        ThrowIfMissing();
        var context = NotNull(s_createDecompressor());
        ThrowIfError(s_setDecompressor(context, WindowLogMax, maxWindowLog));
        return context;
    }

    public static void FreeDecompressor(nint context) => _ = s_freeDecompressor(context);

    /// <summary>Bytes that a decompressor holds now, its window among them.</summary>
    public static nuint SizeOf(nint context) => s_sizeOfDecompressor(context);

    /// <summary>Returns an error code, 0 at the end of a frame that has been delivered in full, or anything else.</summary>
    public static nuint Decompress(nint context, ref ZstdBuffer output, ref ZstdBuffer input)
    {
        fixed (ZstdBuffer* to = &output, from = &input)
        {
            return s_decompress(context, to, from);
        }
    }

    private static nint Load()
    {
        foreach (var name in (ReadOnlySpan<string>)["libzstd", "libzstd.so.1"])
        {
            if (NativeLibrary.TryLoad(name, typeof(Zstd).Assembly, null, out var library))
            {
                return library;
            }
        }

        return 0;
    }

    private static nint Find(string name) => s_library == 0 ? 0 : NativeLibrary.GetExport(s_library, name);

    private static void ThrowIfMissing()
    {
        if (s_library == 0)
        {
            throw new PlatformNotSupportedException(
                "zstd is not available: neither libzstd.so beside the program nor libzstd.so.1 of the system can be loaded");
        }
    }

    private static nint NotNull(nint context) => context != 0 ? context : throw new InsufficientMemoryException("libzstd has no memory");

    private static nuint ThrowIfError(nuint result) =>
        IsError(result) ? throw new InvalidOperationException($"libzstd: {ErrorName(result)}") : result;
}

/// <summary>ZSTD_inBuffer and ZSTD_outBuffer: memory, its length, and how much of it is done.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ZstdBuffer(nint address, nuint length)
{
    public readonly nint Address = address;
    public readonly nuint Length = length;
    public nuint Done;

    public readonly bool IsDone => Done == Length;
}
