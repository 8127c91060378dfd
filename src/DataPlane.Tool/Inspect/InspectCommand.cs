using System.CommandLine;
using DataPlane.Images;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Inspect;

/// <summary><c>dataplane inspect</c>: shows what is in a saved VM, without reading any of its pages.</summary>
internal sealed class InspectCommand
{
    private readonly Argument<string> _file = SharedOptions.SavedVm();

    public static Command Create(ToolConsole console)
    {
        var inspect = new InspectCommand();
        var command = new Command("inspect", "Show what is in a saved VM: memory, devices, and the fields of their state.");
        command.Arguments.Add(inspect._file);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("machine type, blocks with their share of zero pages, devices with all fields",
                "dataplane inspect vm.mapped-ram"),
            new HelpExample("the same for a program", "dataplane inspect vm.mapped-ram --json -"));
        command.SetBody<InspectDocument>(
            console,
            output,
            (arguments, context, document) => Task.FromResult(inspect.Run(arguments, context, document)));
        return command;
    }

    /// <summary>The zero pages as a part of all pages, 0 to 1.</summary>
    public static double Share(long zeroPages, long dataPages) => (double)zeroPages / (zeroPages + dataPages);

    private ExitCode Run(ParseResult arguments, CommandContext context, InspectDocument document)
    {
        var path = Path.GetFullPath(arguments.GetValue(_file)!);
        document.File = path;
        using var vm = Open(path);
        document.FileBytes = new FileInfo(path).Length;
        document.Machine = vm.MachineName;
        document.Uuid = vm.Uuid == Guid.Empty ? null : vm.Uuid;
        document.RunState = vm.Devices.RunState;
        document.RamBytes = vm.Memory.TotalBytes;
        document.Blocks = [.. vm.Memory.Blocks.Select(block => Inspect(block, vm.CountPagesHoldingData(block)))];
        document.DataPages = document.Blocks.Sum(static block => block.DataPages);
        document.ZeroPages = document.Blocks.Sum(static block => block.ZeroPages);
        document.Devices = StateDescription.Read(vm.Devices);
        InspectReport.Write(context.Results, document);
        return ExitCode.Done;
    }

    private static InspectedBlock Inspect(RamBlock block, long dataPages) =>
        new(block.Name, block.Length, dataPages, block.PageCount - dataPages, Share(block.PageCount - dataPages, dataPages));

    private static MappedRamSource Open(string path)
    {
        try
        {
            return MappedRamSource.Open(path);
        }
        catch (InvalidDataException damaged)
        {
            throw new CommandException(damaged.Message, innerException: damaged);
        }
    }
}
