using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DataPlane.Tool.CommandLine;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Tool.Bench;

/// <summary>
/// Fills guest memory with a share of zero pages, in runs as real guests have them, and elsewhere with pages that look random and differ
/// from each other. The same seed gives the same memory.
/// </summary>
internal static class MemoryFill
{
    /// <summary>The number of zero pages in a run.</summary>
    public const int PagesPerRun = 16;

    public static void Fill(RamBlock block, int zeroPercent, ulong seed) => MemoryChunks.ForEach(block, index =>
    {
        var chunk = MemoryChunks.Chunk(block, index);
        var firstPage = (long)index * MemoryChunks.Size / TargetPage.Size;
        for (var offset = 0; offset < chunk.Length; offset += TargetPage.Size)
        {
            var page = firstPage + (offset / TargetPage.Size);
            FillPage(chunk.Slice(offset, TargetPage.Size), page, zeroPercent, seed);
        }
    });

    /// <summary>Fills one page with what <see cref="Fill"/> would put there.</summary>
    public static void FillPage(Span<byte> bytes, long page, int zeroPercent, ulong seed)
    {
        if (IsZeroPage(page, zeroPercent))
        {
            bytes.Clear();
        }
        else
        {
            FillPage(bytes, Mix(seed ^ ((ulong)page * 2)));
        }
    }

    /// <summary>
    /// Fills a block with the bytes of a file, repeated. The file's own zero pages come on top of the share of zero pages.
    /// </summary>
    /// <exception cref="CommandException">
    /// The file cannot be read, holds less than a page, or ends before its length.
    /// </exception>
    public static void FromFile(RamBlock block, int zeroPercent, string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            var pages = RandomAccess.GetLength(file) / TargetPage.Size;
            if (pages == 0)
            {
                throw new CommandException($"--memory-file: '{path}' holds less than one page");
            }

            for (long page = 0; page < block.PageCount; page++)
            {
                var bytes = block.Span(page * TargetPage.Size, TargetPage.Size);
                if (IsZeroPage(page, zeroPercent))
                {
                    bytes.Clear();
                }
                else
                {
                    ReadPage(file, bytes, page % pages * TargetPage.Size, path);
                }
            }
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"--memory-file: {unreadable.Message}", innerException: unreadable);
        }
    }

    /// <summary>Fills all of <paramref name="page"/>: a read may bring less than was asked for, and a file may become shorter.</summary>
    private static void ReadPage(SafeFileHandle file, Span<byte> page, long offset, string path)
    {
        while (!page.IsEmpty)
        {
            var count = RandomAccess.Read(file, page, offset);
            if (count == 0)
            {
                throw new CommandException($"--memory-file: '{path}' ends before the length that it is said to have");
            }

            page = page[count..];
            offset += count;
        }
    }

    public static void Clear(RamBlock block) => MemoryChunks.ForEach(block, index => MemoryChunks.Chunk(block, index).Clear());

    /// <summary>
    /// Whether a page is zero. The zero runs are spread evenly: run n is zero where the running total of the share passes a whole number.
    /// </summary>
    public static bool IsZeroPage(long page, int zeroPercent)
    {
        var run = page / PagesPerRun;
        return (run + 1) * zeroPercent / 100 != run * zeroPercent / 100;
    }

    // Xorshift on four lanes is far faster than memory, and no compressor or zero test finds anything in its output.
    private static void FillPage(Span<byte> page, ulong seed)
    {
        // The lowest bit keeps every lane from being zero, where xorshift would stay.
        var state = Vector256.Create(Mix(seed) | 1, Mix(seed + 1) | 1, Mix(seed + 2) | 1, Mix(seed + 3) | 1);
        foreach (ref var target in MemoryMarshal.Cast<byte, Vector256<ulong>>(page))
        {
            state ^= state << 13;
            state ^= state >>> 7;
            state ^= state << 17;
            target = state;
        }
    }

    /// <summary>SplitMix64: neighbouring numbers become unrelated ones.</summary>
    private static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
