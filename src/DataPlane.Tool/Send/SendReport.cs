using DataPlane.Images;
using DataPlane.Tool.Output;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Send;

/// <summary>Reports what was sent, in a document and in words for a person.</summary>
internal static class SendReport
{
    /// <summary>Fills in what the file alone tells.</summary>
    public static void Fill(SendDocument document, MappedRamSource guest)
    {
        document.Machine = guest.MachineName;
        document.Uuid = guest.Uuid == Guid.Empty ? null : guest.Uuid;
        SavedVmReport.Fill(document, guest.Devices);
        document.Blocks = [.. guest.Memory.Blocks.Select(static block => new BlockEntry(block.Name, block.Length, null))];
    }

    public static void Fill(SendDocument document, MigrationReport report, MappedRamSource guest)
    {
        document.Guest = GuestPlace.AtDestination;
        SavedVmReport.Fill(document, report);
        document.Postcopy = report.Postcopy is { } postcopy
            ? new PostcopyEntry(
                postcopy.StartDelay?.TotalSeconds, postcopy.PackageBytes, postcopy.Requests, postcopy.RequestedPages, postcopy.Recoveries)
            : null;
        // The guest runs at the destination by now, so only this command waits for the hashes.
        document.Blocks = [.. guest.ComputeDigests().Select(static block => new BlockEntry(block.Name, block.Length, block.Sha256))];
    }

    public static void Write(TextWriter output, SendDocument document)
    {
        SavedVmReport.Write(output, document, document.Destination);
        if (document.Postcopy is { StartSeconds: { } start } postcopy)
        {
            output.WriteLine(
                $"the guest started {Human.Seconds(start)} after its devices had left; "
                + $"it asked for {Human.Count(postcopy.RequestedPages)} pages");
        }
    }
}
