using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// Strings in what a monitor says. Null stands for what is no string, and for one with half a surrogate pair, which the reader of JSON
/// makes no string of.
/// </summary>
internal static class QmpText
{
    /// <summary>Longest word that is taken: they come out in messages. Paths of sockets and names of hosts are shorter.</summary>
    internal const int MaxLength = 256;

    /// <summary>A member's text, at most <see cref="MaxLength"/> characters of it; null also when it is missing.</summary>
    internal static string? Of(JsonElement said, string name) =>
        said.ValueKind == JsonValueKind.Object && said.TryGetProperty(name, out var value) && Whole(value) is { } text
            ? Cut(text) : null;

    /// <summary>The text itself, for what is long by its nature: as long as the monitor's line.</summary>
    internal static string? Whole(JsonElement value)
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

    /// <summary>At most <see cref="MaxLength"/> characters, and never half a surrogate pair at the end.</summary>
    internal static string Cut(string text) => text.Length <= MaxLength ? text
        : text[..(char.IsHighSurrogate(text[MaxLength - 1]) ? MaxLength - 1 : MaxLength)];
}
