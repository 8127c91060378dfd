using System.Globalization;
using System.Text;

namespace DataPlane.Wire;

/// <summary>
/// Text that somebody else has chosen: names in a stream or file, or the output of a monitor or another command. Printed as it is, it could
/// control the terminal (C0, C1: title, clipboard, colours), forge lines of a log, or change the order of the text beside it (bidi
/// controls). Thread-safe.
/// </summary>
internal static class UntrustedText
{
    /// <summary>Whether a character does something instead of being shown: C0, DEL, C1, bidi controls, separators of lines.</summary>
    public static bool Acts(char value) =>
        char.IsControl(value)
        || value is '\u061C' or '\u200E' or '\u200F' or (>= '\u2028' and <= '\u202E') or (>= '\u2066' and <= '\u2069');

    /// <summary>Whether a text holds a character that does something instead of being shown.</summary>
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
    /// Replaces each character that does something instead of being shown by an escape such as <c>\u001B</c>. All of them are in the basic
    /// plane, so the escape is one of JSON, too: a JSON text stays valid and keeps its meaning, since they may stand in its strings only.
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
