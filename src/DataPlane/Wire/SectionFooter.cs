using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>The end of every section: <c>7E | u32 id</c>. A wrong mark or id means that the body was misread.</summary>
internal static class SectionFooter
{
    public const int Size = 5;

    public static void Write(Span<byte> destination, uint id)
    {
        destination[0] = (byte)SectionType.Footer;
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], id);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, uint expectedId, out string? error)
    {
        error = null;
        if (source.Length < Size)
        {
            error = $"a section footer has {Size} bytes, not {source.Length}";
        }
        else if (source[0] != (byte)SectionType.Footer)
        {
            error = $"section {expectedId} does not end with a footer: byte {source[0]:X2} instead of 7E";
        }
        else if (BinaryPrimitives.ReadUInt32BigEndian(source[1..]) is var id && id != expectedId)
        {
            error = $"the footer of section {expectedId} names section {id}";
        }

        return error is null;
    }
}
