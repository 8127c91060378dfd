using System.Runtime.InteropServices;

namespace DataPlane.Multifd.Compression;

/// <summary>
/// The functions of libzstd's stable interface that are used here. The library comes with a package for glibc on x64 and Arm64; elsewhere
/// that of the system is loaded.
/// </summary>
/// <remarks>
/// Function pointers instead of imports, because the library may be found under two names, and its absence must be known before the first
/// call.
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

    /// <summary>
    /// Compresses, and returns the number of bytes that libzstd still holds. An error would be a bug of ours, and throws.
    /// </summary>
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

    /// <summary>The memory that a decompressor holds now in bytes, including its window.</summary>
    public static nuint SizeOf(nint context) => s_sizeOfDecompressor(context);

    /// <summary>Decompresses. Returns an error code, 0 at the end of a frame that has been delivered in full, or any other value.</summary>
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

/// <summary>The layout of ZSTD_inBuffer and ZSTD_outBuffer: an address, a length, and how much of it has been processed.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ZstdBuffer(nint address, nuint length)
{
    public readonly nint Address = address;
    public readonly nuint Length = length;
    public nuint Done;

    public readonly bool IsDone => Done == Length;
}
