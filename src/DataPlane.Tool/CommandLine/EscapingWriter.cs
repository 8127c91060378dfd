using System.Text;
using DataPlane.Wire;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Stdout and stderr for everything but a progress bar. Ends of lines and tabs pass; whatever else would steer a terminal is escaped
/// (<see cref="UntrustedText"/>). This writer is as thread-safe as the one it writes to.
/// </summary>
internal sealed class EscapingWriter(TextWriter target) : TextWriter
{
    /// <summary>Makes a writer that escapes what goes to <paramref name="target"/>, which the caller still owns.</summary>
    public static TextWriter Over(TextWriter target) => new EscapingWriter(target);

    public override Encoding Encoding => target.Encoding;

    public override void Write(char value)
    {
        if (Passes(value))
        {
            target.Write(value);
        }
        else
        {
            target.Write(UntrustedText.Escape(value.ToString()));
        }
    }

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    public override void Write(ReadOnlySpan<char> buffer) => target.Write(Escape(buffer.ToString()));

    public override void Write(string? value) => target.Write(value is null ? null : Escape(value));

    public override void WriteLine() => target.WriteLine();

    public override void WriteLine(string? value) => target.WriteLine(value is null ? null : Escape(value));

    public override void Flush() => target.Flush();

    private static bool Passes(char value) => value is '\n' or '\t' || !UntrustedText.Acts(value);

    private static string Escape(string text)
    {
        return text.All(Passes)
            ? text
            : string.Concat(text.Select(static value => Passes(value) ? value.ToString() : UntrustedText.Escape(value.ToString())));
    }
}
