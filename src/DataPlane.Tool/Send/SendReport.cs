using DataPlane.Images;
using DataPlane.Migration;
using DataPlane.Tool.Output;
using DataPlane.Tool.Receive;

namespace DataPlane.Tool.Send;

/// <summary>What was sent: as a document, and in words for a person.</summary>
internal static class SendReport
{
    /// <summary>What the file alone tells.</summary>
    public static void Fill(SendDocument document, MappedRamSource guest)
    {
        document.Machine = guest.MachineName;
        document.Uuid = guest.Uuid == Guid.Empty ? null : guest.Uuid;
        document.RunState = guest.Devices.RunState;
        document.Devices = [.. guest.Devices.Devices.Select(static device =>
            new DeviceEntry(device.Name, device.Instance, device.Version, device.Length))];
        document.Blocks = [.. guest.Memory.Blocks.Select(static block => new BlockEntry(block.Name, block.Length, null))];
    }

    public static void Fill(SendDocument document, MigrationReport report, MappedRamSource guest)
    {
        document.Guest = GuestPlace.AtDestination;
        document.Channels = [.. report.Channels.Select(static channel =>
            new ChannelEntry(ReceiveReport.SnakeCase(channel.Kind.ToString()), channel.Id, channel.Peer, channel.Bytes))];
        document.Phases = [.. report.Phases.Select(static phase =>
            new PhaseEntry(ReceiveReport.PhaseName(phase.Phase), phase.Duration.TotalSeconds))];
        document.Seconds = report.Duration.TotalSeconds;
        document.TransferredBytes = report.TransferredBytes;
        document.NormalPages = report.NormalPages;
        document.ZeroPages = report.ZeroPages;
        document.Postcopy = report.Postcopy is { } postcopy
            ? new PostcopyEntry(
                postcopy.StartDelay?.TotalSeconds, postcopy.PackageBytes, postcopy.Requests, postcopy.RequestedPages, postcopy.Recoveries)
            : null;
        // The guest runs there by now: only we wait for the hashes.
        document.Blocks = [.. guest.ComputeDigests().Select(static block => new BlockEntry(block.Name, block.Length, block.Sha256))];
    }

    public static void Write(TextWriter output, SendDocument document)
    {
        output.WriteLine(
            $"{document.Machine}, {document.RunState ?? "run state unknown"}, {document.Devices.Count} devices -> {document.Destination}");
        output.WriteLine();
        int width = document.Blocks.Max(static block => block.Name.Length);
        foreach (BlockEntry block in document.Blocks)
            output.WriteLine($"{block.Name.PadRight(width)}  {Human.Bytes(block.SizeBytes),10}  {block.Sha256}");
        output.WriteLine();
        foreach (PhaseEntry phase in document.Phases)
            output.WriteLine($"{phase.Name.Replace('_', ' '),-12}  {Human.Seconds(phase.Seconds),10}");
        output.WriteLine();
        string amount = $"{Human.Bytes(document.TransferredBytes!.Value)} in {Human.Seconds(document.Seconds!.Value)}";
        output.WriteLine(
            $"{amount}, {Human.Count(document.NormalPages!.Value)} normal and {Human.Count(document.ZeroPages!.Value)} zero pages");
        if (document.Postcopy is { StartSeconds: { } start } postcopy)
        {
            output.WriteLine(
                $"the guest started {Human.Seconds(start)} after its devices had left; "
                + $"it asked for {Human.Count(postcopy.RequestedPages)} pages");
        }
    }
}
