namespace DataPlane.Wire;

/// <summary>Low bits of the word that opens each RAM record (specification, 2-main-stream section 2).</summary>
[Flags]
internal enum RamFlags : uint
{
    None = 0,
    Full = 1,
    Zero = 2,
    MemorySize = 4,
    Page = 8,
    EndOfSection = 0x10,
    Continue = 0x20,
    Xbzrle = 0x40,
    Hook = 0x80,
    CompressedPage = 0x100,
    MultifdFlush = 0x200,
}
