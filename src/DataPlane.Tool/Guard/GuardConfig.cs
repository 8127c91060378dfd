using System.CommandLine;
using System.CommandLine.Parsing;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>The config file: a section per VM, whose keys are the options of the command line without their dashes.</summary>
/// <remarks>
/// <code>
/// # lines before the first section hold for every VM that does not say otherwise
/// undecided-timeout = 10s   # a comment may stand after a value; a value with " #" or " ;" in it goes into double quotes
/// allow = 10.0.0.0/8
///
/// [web1]
/// listen = 0.0.0.0:49152
/// qmp = unix:/run/vm/web1.qmp
/// any-peer = yes
/// </code>
/// </remarks>
internal static class GuardConfig
{
    private const int MaxFileBytes = 1 << 20;

    private static readonly ParserConfiguration s_plain = new() { ResponseFileTokenReplacer = null, EnablePosixBundling = false };

    /// <exception cref="CommandException">
    /// The file cannot be read, or something in it is wrong; the message names the file and, where possible, the line.
    /// </exception>
    public static IReadOnlyList<VmSettings> Load(string path)
    {
        try
        {
            if (new FileInfo(path).Length > MaxFileBytes)
            {
                throw new CommandException($"--config: '{path}' has more than {MaxFileBytes} bytes");
            }

            return Parse(path, File.ReadAllLines(path));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"--config: {OneLine.Of(exception.Message)}", innerException: exception);
        }
    }

    public static IReadOnlyList<VmSettings> Parse(string path, IReadOnlyList<string> lines)
    {
        var vms = new List<VmSettings>();
        foreach (var section in Split(path, lines))
        {
            var vm = ReadSection(path, section);
            if (vms.Find(other => other.Name == vm.Name) is not null)
            {
                throw Fault(path, section.Line, $"there is a section [{vm.Name}] already");
            }

            if (vms.Find(other => other.Listen == vm.Listen && (vm.Listen.IsUnix || vm.Listen.Port != 0)) is { } taken)
            {
                throw Fault(path, section.Line, $"[{vm.Name}] listens where [{taken.Name}] does");
            }
            // A monitor serves one client, so no two VMs may share one. Two VMs with the same --to are two addresses of one QEMU.
            if (vms.Find(other => other.Qmp is not null && other.Qmp == vm.Qmp) is { } behind)
            {
                throw Fault(path, section.Line, $"[{vm.Name}] guards the QEMU of [{behind.Name}]: {vm.Qmp}");
            }

            vms.Add(vm);
        }

        return vms.Count > 0 ? vms : throw new CommandException($"{path}: no section [NAME], so there is nothing to guard");
    }

    private static List<Section> Split(string path, IReadOnlyList<string> lines)
    {
        var common = new List<Entry>();
        var sections = new List<Section>();
        for (var i = 0; i < lines.Count; i++)
        {
            var line = WithoutComment(lines[i]) ?? throw Fault(path, i + 1, "the double quotes are not closed");
            if (line.Length == 0)
            {
                continue;
            }

            var equals = line.IndexOf('=', StringComparison.Ordinal);
            if (line[0] == '[' && line[^1] == ']' && line.Length > 2)
            {
                sections.Add(new Section(line[1..^1].Trim(), i + 1, common));
            }
            else if (equals > 0)
            {
                (sections.Count == 0 ? common : sections[^1].Entries)
                    .Add(new Entry(line[..equals].TrimEnd(), Unquote(line[(equals + 1)..].TrimStart()), i + 1));
            }
            else
            {
                throw Fault(path, i + 1, "expected [NAME] or KEY = VALUE");
            }
        }

        return sections;
    }

    /// <summary>
    /// The line without its comment and outer blanks; null where double quotes are not closed. A comment begins with # or ; at the start of
    /// the line or after a blank, outside of double quotes.
    /// </summary>
    private static string? WithoutComment(string line)
    {
        var isQuoted = false;
        for (var i = 0; i < line.Length; i++)
        {
            if (line[i] == '"')
            {
                isQuoted = !isQuoted;
            }
            else if (line[i] is '#' or ';' && !isQuoted && (i == 0 || char.IsWhiteSpace(line[i - 1])))
            {
                return line[..i].Trim();
            }
        }

        return isQuoted ? null : line.Trim();
    }

    private static string Unquote(string value) => value is ['"', .. var inner, '"'] && !inner.Contains('"') ? inner : value;

    /// <summary>Reads a section with the command line's own parser, so that values and complaints are the same.</summary>
    private static VmSettings ReadSection(string path, Section section)
    {
        var command = new Command("vm");
        var options = VmOptions.AddTo(command, _ => true);
        var arguments = new List<string> { $"--name={section.Name}" };
        var inherited = section.Common.Where(entry => !section.Entries.Exists(own => own.Key == entry.Key));
        Entry[] entries = [.. inherited, .. section.Entries];
        foreach (var entry in entries)
        {
            Option option = command.Options.FirstOrDefault(option => option.Name == "--" + entry.Key && entry.Key != "name")
                ?? throw Fault(path, entry.Line, $"no such key: '{entry.Key}'");
            if (option.ValueType != typeof(bool))
            {
                arguments.Add($"{option.Name}={entry.Value}");
            }
            else if (ReadFlag(entry.Value) ?? throw Fault(path, entry.Line, $"{entry.Key}: '{entry.Value}' is not yes or no"))
            {
                arguments.Add(option.Name);
            }
        }

        CommandRules.HoldBack(command);
        var result = CommandLineParser.Parse(command, arguments, s_plain);
        if (CommandRules.FindFault(result) is not { } fault)
        {
            return options.Read(result);
        }

        var error = result.Errors is [var first, ..] ? first : null;
        var line =
            entries.FirstOrDefault(entry => error?.SymbolResult is OptionResult option && option.Option.Name == "--" + entry.Key)?.Line
            ?? section.Line;
        throw Fault(path, line, $"[{section.Name}]: {fault}");
    }

    private static bool? ReadFlag(string value) => value switch
    {
        "yes" or "true" or "on" or "1" => true,
        "no" or "false" or "off" or "0" => false,
        _ => null,
    };

    private static CommandException Fault(string path, int line, string problem) => new($"{path}:{line}: {problem}");

    private sealed record Entry(string Key, string Value, int Line);

    private sealed record Section(string Name, int Line, List<Entry> Common)
    {
        public List<Entry> Entries { get; } = [];
    }
}
