namespace DataPlane.Wire;

/// <summary>
/// The difference of a page from what was last sent of it: <c>{ unchanged length | changed length | changed bytes }*</c>, lengths as one or
/// two bytes of 7 bits, low bits first (specification, 2-main-stream section 2.4). The rest of the page is unchanged.
/// </summary>
internal static class Xbzrle
{
    /// <summary>
    /// Applies a delta in place. Returns false if the delta is wrong; the page may then hold a part of it, and nothing else was touched.
    /// </summary>
    public static bool TryApply(ReadOnlySpan<byte> delta, Span<byte> page, out string? error)
    {
        error = null;
        if (delta.IsEmpty)
        {
            error = "an XBZRLE delta is empty";
        }

        var position = 0;
        var first = true;
        while (!delta.IsEmpty && error is null)
        {
            if (!TryReadLength(ref delta, out var unchanged))
            {
                error = "an XBZRLE delta ends in the length of an unchanged run";
            }
            else if (unchanged == 0 && !first)
            {
                error = "an XBZRLE delta has an empty unchanged run";
            }
            else if (!TryReadLength(ref delta, out var changed) || changed > delta.Length)
            {
                error = "an XBZRLE delta ends in a changed run";
            }
            else if (changed == 0)
            {
                error = "an XBZRLE delta has an empty changed run";
            }
            else if (unchanged + changed > page.Length - position)
            {
                error = "an XBZRLE delta reaches over the end of the page";
            }
            else
            {
                position += unchanged;
                delta[..changed].CopyTo(page[position..]);
                position += changed;
                delta = delta[changed..];
                first = false;
            }
        }

        return error is null;
    }

    private static bool TryReadLength(ref ReadOnlySpan<byte> delta, out int length)
    {
        length = 0;
        if (delta.IsEmpty)
        {
            return false;
        }

        length = delta[0];
        if (length < 0x80)
        {
            delta = delta[1..];
            return true;
        }

        if (delta.Length < 2 || delta[1] >= 0x80)
        {
            return false;
        }

        length = (length & 0x7F) | (delta[1] << 7);
        delta = delta[2..];
        return true;
    }
}
