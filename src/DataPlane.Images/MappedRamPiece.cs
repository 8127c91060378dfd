namespace DataPlane.Images;

/// <summary>Bytes that are to be written at one offset of a file.</summary>
internal readonly record struct MappedRamPiece(long Offset, ReadOnlyMemory<byte> Bytes);
