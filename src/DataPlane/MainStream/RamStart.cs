namespace DataPlane.MainStream;

/// <summary>What the stream has said before the START section of ram, on which the section's list of RAM blocks depends.</summary>
/// <param name="EarlySections">The device sections that came before it, as received.</param>
/// <param name="AdvisedPageSizes">
/// The page sizes of a 16-byte ADVISE, combined with OR; 0 without such an ADVISE. With one, the block list may carry page sizes.
/// </param>
internal readonly record struct RamStart(ReadOnlyMemory<byte> EarlySections, ulong AdvisedPageSizes);
