using System.Globalization;
using System.Text;

namespace DataPlane.Wire;

/// <summary>
/// Text that somebody else has chosen: names in a stream or file, what a monitor or another command says. Shown as it is it would steer the
/// terminal that it is printed on (C0, C1: title, clipboard, colours), forge lines of a log, or turn the order of what stands beside it
/// (bidi controls). Thread-safe.
/// </summary>
internal static class UntrustedText
{
    /// <summary>Whether a character does something instead of being shown: C0, DEL, C1, bidi controls, separators of lines.</summary>
    public static bool Acts(char value) =>
        char.IsControl(value)
        || value is '\u061C' or '\u200E' or '\u200F' or (>= '\u2028' and <= '\u202E') or (>= '\u2066' and <= '\u2069');

    /// <summary>Whether a text holds such a character.</summary>
    public static bool Acts(ReadOnlySpan<char> text)
    {
        foreach (var value in text)
        {
            if (Acts(value))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Each such character as <c>\u001B</c>, all else as it is. All of them are in the basic plane, so the escape is one of JSON, too: a
    /// JSON text stays valid and keeps its meaning, since they may stand in its strings only.
    /// </summary>
    public static string Escape(string text)
    {
        if (!Acts(text.AsSpan()))
        {
            return text;
        }

        var escaped = new StringBuilder(text.Length + 16);
        foreach (var value in text)
        {
            if (Acts(value))
            {
                escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)value:X4}");
            }
            else
            {
                escaped.Append(value);
            }
        }

        return escaped.ToString();
    }
}
