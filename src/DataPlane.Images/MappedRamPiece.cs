namespace DataPlane.Images;

/// <summary>Bytes that belong at one place of a file.</summary>
internal readonly record struct MappedRamPiece(long Offset, ReadOnlyMemory<byte> Bytes);
