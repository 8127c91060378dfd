using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace DataPlane.Wire;

/// <summary>
/// Names on the wire are bytes without a charset; QEMU's own are ASCII. They become strings only if they are UTF-8 without characters that
/// act (<see cref="UntrustedText"/>), so that string and bytes stand for each other, and a name neither forges a line of a log nor controls
/// a terminal.
/// </summary>
internal static class WireName
{
    private const byte Delete = 0x7F;

    public static bool TryDecode(ReadOnlySpan<byte> bytes, out string name)
    {
        name = string.Empty;
        if (bytes.IsEmpty || bytes.ContainsAnyInRange((byte)0, (byte)0x1F) || bytes.Contains(Delete) || !Utf8.IsValid(bytes))
        {
            return false;
        }

        name = Encoding.UTF8.GetString(bytes);
        if (!UntrustedText.Acts(name.AsSpan()))
        {
            return true;
        }

        name = string.Empty;
        return false;
    }

    /// <summary>Quotes a name for an error text: printable ASCII stays as it is, and all else is escaped.</summary>
    public static string Quote(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length + 2).Append('\'');
        foreach (var b in bytes)
        {
            if (b is >= 0x20 and < Delete and not (byte)'\'' and not (byte)'\\')
            {
                text.Append((char)b);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"\\x{b:X2}");
            }
        }

        return text.Append('\'').ToString();
    }
}
