using DataPlane.Tool.Output;

namespace DataPlane.Tool.SavedVms;

/// <summary>Reports a VM in a file and how it moved, in a document and in words for a person.</summary>
internal static class SavedVmReport
{
    /// <summary>Fills in what the device state tells.</summary>
    public static void Fill(SavedVmDocument document, DeviceState devices)
    {
        document.RunState = devices.RunState;
        document.Devices = [.. devices.Devices.Select(static device =>
            new DeviceEntry(device.Name, device.Instance, device.Version, device.Length))];
    }

    /// <summary>Fills in how the VM moved.</summary>
    public static void Fill(SavedVmDocument document, MigrationReport report)
    {
        document.Channels = [.. report.Channels.Select(static channel =>
            new ChannelEntry(SnakeCase(channel.Kind.ToString()), channel.Id, channel.Peer, channel.Bytes))];
        document.Phases = [.. report.Phases.Select(static phase => new PhaseEntry(PhaseName(phase.Phase), phase.Duration.TotalSeconds))];
        document.Seconds = report.Duration.TotalSeconds;
        document.TransferredBytes = report.TransferredBytes;
        document.NormalPages = report.NormalPages;
        document.ZeroPages = report.ZeroPages;
    }

    /// <summary>Writes the report for a person.</summary>
    /// <param name="output">Gets the lines.</param>
    /// <param name="document">The document of a VM that has moved.</param>
    /// <param name="target">Where the VM is now.</param>
    public static void Write(TextWriter output, SavedVmDocument document, string? target)
    {
        output.WriteLine($"{document.Machine}, {document.RunState ?? "run state unknown"}, {document.Devices.Count} devices -> {target}");
        output.WriteLine();
        var width = document.Blocks.Max(static block => block.Name.Length);
        foreach (var block in document.Blocks)
        {
            output.WriteLine($"{block.Name.PadRight(width)}  {Human.Bytes(block.SizeBytes),10}  {block.Sha256}");
        }

        output.WriteLine();
        foreach (var phase in document.Phases)
        {
            output.WriteLine($"{phase.Name.Replace('_', ' '),-12}  {Human.Seconds(phase.Seconds),10}");
        }

        output.WriteLine();
        var amount = $"{Human.Bytes(document.TransferredBytes!.Value)} in {Human.Seconds(document.Seconds!.Value)}";
        output.WriteLine(
            $"{amount}, {Human.Count(document.NormalPages!.Value)} normal and {Human.Count(document.ZeroPages!.Value)} zero pages");
    }

    public static string PhaseName(MigrationPhase phase) => SnakeCase(phase.ToString());

    public static string SnakeCase(string name) => System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
}
