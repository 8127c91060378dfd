using DataPlane.Images;
using DataPlane.Migration;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Receive;

/// <summary>What a received VM is: as a document, and in words for a person.</summary>
internal static class ReceiveReport
{
    public static void Fill(ReceiveDocument document, MigrationReport report, MappedRamGuest guest)
    {
        document.Machine = guest.Machine!.Name;
        document.Uuid = report.Uuid;
        document.RunState = guest.Devices!.RunState;
        document.Devices = [.. guest.Devices.Devices.Select(
            static device => new DeviceEntry(device.Name, device.Instance, device.Version, device.Length))];
        document.Channels = [.. report.Channels.Select(static channel =>
            new ChannelEntry(SnakeCase(channel.Kind.ToString()), channel.Id, channel.Peer, channel.Bytes))];
        document.Phases = [.. report.Phases.Select(static phase => new PhaseEntry(PhaseName(phase.Phase), phase.Duration.TotalSeconds))];
        document.Seconds = report.Duration.TotalSeconds;
        document.TransferredBytes = report.TransferredBytes;
        document.NormalPages = report.NormalPages;
        document.ZeroPages = report.ZeroPages;
        document.Postcopy = report.Postcopy is { } postcopy
            ? new ReceivedPostcopyEntry(postcopy.PackageBytes, postcopy.Requests, postcopy.RequestedPages, postcopy.Recoveries)
            : null;
        // The source's guest has been released by now: only we wait for the hashes.
        document.Blocks = [.. guest.ComputeDigests().Select(static block => new BlockEntry(block.Name, block.Length, block.Sha256))];
    }

    public static void Write(TextWriter output, ReceiveDocument document)
    {
        output.WriteLine(
            $"{document.Machine}, {document.RunState ?? "run state unknown"}, {document.Devices.Count} devices -> {document.File}");
        output.WriteLine();
        int width = document.Blocks.Max(static block => block.Name.Length);
        foreach (BlockEntry block in document.Blocks)
            output.WriteLine($"{block.Name.PadRight(width)}  {Human.Bytes(block.SizeBytes),10}  {block.Sha256}");
        output.WriteLine();
        foreach (PhaseEntry phase in document.Phases)
            output.WriteLine($"{phase.Name.Replace('_', ' '),-12}  {Human.Seconds(phase.Seconds),10}");
        output.WriteLine();
        output.WriteLine(
            $"{Human.Bytes(document.TransferredBytes!.Value)} in {Human.Seconds(document.Seconds!.Value)}, "
            + $"{document.NormalPages:N0} normal and {document.ZeroPages:N0} zero pages");
        if (document.Postcopy is { } postcopy)
            WritePostcopy(output, postcopy);
    }

    private static void WritePostcopy(TextWriter output, ReceivedPostcopyEntry postcopy) =>
        output.WriteLine($"after the switch to postcopy {postcopy.RequestedPages:N0} pages came because they were asked for");

    public static string PhaseName(MigrationPhase phase) => SnakeCase(phase.ToString());

    public static string SnakeCase(string name) => System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(name);
}
