using System.Text;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Stderr of a process that may outlive its terminal: what cannot be written there is lost, and ends nothing. This writer is as thread-safe
/// as the one it writes to.
/// </summary>
internal sealed class LastingWriter(TextWriter target) : TextWriter
{
    public override Encoding Encoding => target.Encoding;

    public override void Write(char value) => Try(() => target.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => target.Write(buffer, index, count));

    public override void Write(string? value) => Try(() => target.Write(value));

    public override void WriteLine() => Try(target.WriteLine);

    public override void WriteLine(string? value) => Try(() => target.WriteLine(value));

    public override void Flush() => Try(target.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception lost) when (lost is IOException or UnauthorizedAccessException)
        {
            // The terminal is gone (EIO), or the disk is full (ENOSPC).
        }
    }
}
