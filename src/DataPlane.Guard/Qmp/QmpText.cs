using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>Strings in what a monitor says.</summary>
internal static class QmpText
{
    /// <summary>
    /// A member's text; null when it is missing, no string, or one with half a surrogate pair, which the reader of JSON makes no string of.
    /// </summary>
    internal static string? Of(JsonElement said, string name)
    {
        if (said.ValueKind != JsonValueKind.Object || !said.TryGetProperty(name, out JsonElement value)
            || value.ValueKind != JsonValueKind.String)
            return null;
        try
        {
            return value.GetString();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
