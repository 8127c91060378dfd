using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// Reads strings of a monitor. The result is null for a value that is not a string, and for a string with half a surrogate pair, which
/// .NET's JSON reader does not decode.
/// </summary>
internal static class QmpText
{
    /// <summary>
    /// The largest number of characters that is taken of a member: they come out in messages. Socket paths and host names are shorter.
    /// </summary>
    public const int MaxLength = 256;

    /// <summary>Returns at most <see cref="MaxLength"/> characters of a member's text; null when it is missing or not a string.</summary>
    public static string? Of(JsonElement said, string name) =>
        said.ValueKind == JsonValueKind.Object && said.TryGetProperty(name, out var value) && Whole(value) is { } text
            ? Cut(text) : null;

    /// <summary>Returns a text that is long by its nature as a whole; only the limit of the monitor's line bounds it.</summary>
    public static string? Whole(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.String)
        {
            return null;
        }

        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>Returns at most <see cref="MaxLength"/> characters of a text, and never half a surrogate pair at the end.</summary>
    public static string Cut(string text) => text.Length <= MaxLength ? text
        : text[..(char.IsHighSurrogate(text[MaxLength - 1]) ? MaxLength - 1 : MaxLength)];
}
