namespace DataPlane.Tool.CommandLine;

/// <summary>A value of an enumeration, as options, help and documents spell it: in lower case.</summary>
internal readonly record struct Choice<T>(T Value)
    where T : struct, Enum
{
    /// <summary>The names of all values of the enumeration, as help shows them.</summary>
    public static string Names { get; } = string.Join('|', Enum.GetValues<T>().Select(static value => new Choice<T>(value)));

    public static bool TryParse(string text, out Choice<T> choice, out string? error)
    {
        foreach (var value in Enum.GetValues<T>())
        {
            choice = new Choice<T>(value);
            if (choice.ToString() == text)
            {
                error = null;
                return true;
            }
        }

        choice = default;
        error = $"'{text}' is not one of {Names}";
        return false;
    }

    public override string ToString() => Value.ToString().ToLowerInvariant();
}
