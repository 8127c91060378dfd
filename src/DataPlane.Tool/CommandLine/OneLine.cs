namespace DataPlane.Tool.CommandLine;

/// <summary>Keeps the promise of one line: a text from a lower layer or from a peer never breaks the line or steers the terminal.</summary>
internal static class OneLine
{
    public static string Of(string text)
    {
        return string.Create(text.Length, text, static (target, source) =>
        {
            for (var i = 0; i < source.Length; i++)
            {
                target[i] = char.IsControl(source[i]) ? ' ' : source[i];
            }
        }).Trim();
    }
}
