using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>The checked head of a RAM record.</summary>
/// <param name="Kind">What the record is.</param>
/// <param name="Block">The block of a page, in which the page lies; without meaning for any other record.</param>
/// <param name="Offset">The offset of a page in its block; the total of all blocks for MEM_SIZE.</param>
internal readonly record struct PageRecord(RamFlags Kind, RamBlock Block, long Offset);
