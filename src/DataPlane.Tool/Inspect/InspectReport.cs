using System.Globalization;
using DataPlane.Tool.Output;
using DataPlane.Wire;

namespace DataPlane.Tool.Inspect;

/// <summary>Writes a saved VM for a person: the blocks, then every device with its fields, indented as they contain each other.</summary>
internal static class InspectReport
{
    public static void Write(TextWriter output, InspectDocument document)
    {
        var uuid = document.Uuid is { } known ? $", UUID {known}" : "";
        var runState = UntrustedText.Escape(document.RunState ?? "run state unknown");
        output.WriteLine($"{document.Machine}, {runState}, {document.Devices.Count} devices{uuid}");
        output.WriteLine();
        var width = Math.Max("all".Length, document.Blocks.Max(static block => block.Name.Length));
        foreach (var block in document.Blocks)
        {
            WriteBlock(output, block.Name.PadRight(width), block.SizeBytes, block.DataPages, block.ZeroShare);
        }

        if (document.Blocks.Count > 1)
        {
            WriteBlock(output, "all".PadRight(width), document.RamBytes!.Value, document.DataPages!.Value,
                InspectCommand.Share(document.ZeroPages!.Value, document.DataPages.Value));
        }

        foreach (var device in document.Devices)
        {
            output.WriteLine();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{UntrustedText.Escape(device.Name)} {device.Instance}, version {device.Version}, {device.SizeBytes} bytes"));
            if (device.State is { } state)
            {
                WriteStruct(output, state, "  ");
            }
        }
    }

    private static void WriteBlock(TextWriter output, string name, long bytes, long dataPages, double zeroShare) =>
        output.WriteLine(
            $"{name}  {Human.Bytes(bytes),10}  {Human.Count(dataPages),12} pages of data  {Human.Number(100 * zeroShare, 1),5} % zero");

    private static void WriteStruct(TextWriter output, DescribedStruct state, string indent)
    {
        foreach (var field in state.Fields)
        {
            var place = field.Index is { } index ? $"[{index}]" : field.Count is { } count ? $"[{count}]" : "";
            var name = UntrustedText.Escape(field.Name);
            var type = UntrustedText.Escape(field.Type ?? "");
            output.WriteLine($"{indent}{name}{place}  {type} ({field.SizeBytes})");
            if (field.State is { } inner)
            {
                WriteStruct(output, inner, indent + "  ");
            }
        }

        foreach (var subsection in state.Subsections ?? [])
        {
            output.WriteLine($"{indent}subsection {UntrustedText.Escape(subsection.Name ?? "")}, version {subsection.Version}");
            WriteStruct(output, subsection, indent + "  ");
        }
    }
}
