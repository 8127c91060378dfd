using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Output;

/// <summary>
/// The destination of the JSON document. A file is reserved before the command starts, so that a wrong path does not cost an hour of
/// measuring, and it appears under its name in one step, so that a reader never sees half a document.
/// </summary>
internal sealed partial class JsonSink : IDisposable
{
    private const string TemporarySuffix = ".tmp";

    private readonly string? _path;
    private readonly TextWriter _stdout;
    private FileStream? _file;
    private readonly string? _temporaryPath;

    private JsonSink(string? path, TextWriter stdout, FileStream? file, string? temporaryPath)
    {
        _path = path;
        _stdout = stdout;
        _file = file;
        _temporaryPath = temporaryPath;
    }

    /// <exception cref="CommandException">The file cannot be written.</exception>
    public static JsonSink Open(string? path, TextWriter stdout)
    {
        if (path is null or "-")
        {
            return new JsonSink(path, stdout, null, null);
        }

        try
        {
            var target = TrustedLinks.Follow(Path.GetFullPath(path));
            if (OpenInPlace(path, target) is { } stream)
            {
                return new JsonSink(target, stdout, stream, null);
            }

            var reserved = Reserve(target);
            return new JsonSink(target, stdout, reserved, reserved.Name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new CommandException($"--json: cannot write '{OneLine.Of(path)}': {Reason(path, exception)}", ExitCode.Failed, exception);
        }
    }

    /// <summary>
    /// Makes a new file beside the target, under a name that nobody can know beforehand: in a folder to which others write, a file or link
    /// that was put there in advance is never opened.
    /// </summary>
    private static FileStream Reserve(string target)
    {
        var name = $"{target}.{RandomNumberGenerator.GetHexString(8, lowercase: true)}{TemporarySuffix}";
        return new FileStream(name, FileMode.CreateNew, FileAccess.Write, FileShare.Read);
    }

    /// <summary>Why a path cannot be written, without the name of the temporary file.</summary>
    private static string Reason(string path, Exception exception) => exception switch
    {
        _ when Directory.Exists(path) => "it is a folder",
        DirectoryNotFoundException => "its folder does not exist",
        PathTooLongException => "the name is too long",
        UnauthorizedAccessException => "permission denied",
        _ => TemporaryName().Replace(OneLine.Of(exception.Message), ""),
    };

    /// <summary>
    /// Opens the target where a finished file must not replace it: a pipe, a device, or another name of an open file. Null otherwise.
    /// </summary>
    private static FileStream? OpenInPlace(string path, string target)
    {
        if (!File.Exists(target))
        {
            return null;
        }

        var existing = new FileStream(target, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        if (IsAlias(path) || IsAlias(target) || !existing.CanSeek)
        {
            return existing;
        }

        existing.Dispose();
        return null;
    }

    private static bool IsAlias(string path) =>
        path.StartsWith("/dev/", StringComparison.Ordinal) || path.StartsWith("/proc/", StringComparison.Ordinal);

    /// <summary>Writes the finished document. It is called once, at the end, however the command ends.</summary>
    /// <exception cref="CommandException">
    /// The file could not be completed. A target that would have been replaced is still as it was.
    /// </exception>
    public void Write<T>(T document, JsonTypeInfo<T> typeInfo)
    {
        if (_path is null)
        {
            return;
        }

        var text = JsonSerializer.Serialize(document, typeInfo);
        if (_file is null)
        {
            _stdout.WriteLine(text);
            _stdout.Flush();
            return;
        }

        try
        {
            if (_temporaryPath is null && _file.CanSeek)
            {
                // Opening /dev/fd/N opens the file anew, at its beginning. What others have written there stays, also the tables that this
                // command has for people.
                _stdout.Flush();
                _file.Seek(0, SeekOrigin.End);
            }

            _file.Write(Encoding.UTF8.GetBytes(text + "\n"));
            _file.Dispose();
            if (_temporaryPath is not null)
            {
                File.Move(_temporaryPath, _path, overwrite: true);
            }

            _file = null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"--json: {OneLine.Of(exception.Message)}", ExitCode.Failed, exception);
        }
    }

    /// <summary>Removes the reserved file when the document was never written.</summary>
    public void Dispose()
    {
        if (_file is null)
        {
            return;
        }

        _file.Dispose();
        if (_temporaryPath is not null)
        {
            File.Delete(_temporaryPath);
        }
    }

    [GeneratedRegex(@"\.[0-9a-f]{8}\.tmp")]
    private static partial Regex TemporaryName();
}
