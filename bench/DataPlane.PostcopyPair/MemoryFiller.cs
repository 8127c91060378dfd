using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>
/// The tests' guest fills the memory below 2 or 3 GiB only and never looks at what lies above: so that none of a larger VM is for nothing,
/// its file gets contents for that.
/// </summary>
internal static class MemoryFiller
{
    private const int RunPages = 256;

    /// <summary>Every zero page of a saved VM gets bytes, from an offset of its memory on, a multiple of 1 MiB.</summary>
    public static void FillZeroPages(string path, long from)
    {
        MappedRamBlock ram;
        using (var saved = MappedRamFile.Open(path))
        {
            ram = saved.Ram;
        }

        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        var bytes = new byte[RunPages * MappedRamBlock.PageSize];
        new Random(1).NextBytes(bytes);
        for (var page = from / MappedRamBlock.PageSize; page < ram.Length / MappedRamBlock.PageSize; page += RunPages)
        {
            for (var i = 0; i < RunPages;)
            {
                if (ram.IsStored(page + i))
                {
                    i++;
                    continue;
                }

                var first = i;
                while (i < RunPages && !ram.IsStored(page + i))
                {
                    ram.Bitmap[(page + i) / 8] |= (byte)(1 << (int)((page + i++) % 8));
                }

                RandomAccess.Write(file, bytes.AsSpan(0, (i - first) * MappedRamBlock.PageSize),
                    ram.PagesOffset + ((page + first) * MappedRamBlock.PageSize));
            }
        }

        RandomAccess.Write(file, ram.Bitmap, ram.BitmapOffset);
    }
}
