using DataPlane.Images;
using DataPlane.Tool.Output;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>Reports a received VM, in a document and in words for a person.</summary>
internal static class ReceiveReport
{
    public static void Fill(ReceiveDocument document, MigrationReport report, MappedRamGuest guest)
    {
        document.Machine = guest.Machine!.Name;
        document.Uuid = report.Uuid;
        SavedVmReport.Fill(document, guest.Devices!);
        SavedVmReport.Fill(document, report);
        document.Postcopy = report.Postcopy is { } postcopy
            ? new ReceivedPostcopyEntry(postcopy.PackageBytes, postcopy.Requests, postcopy.RequestedPages, postcopy.Recoveries)
            : null;
        document.Guest = report.IsBackgroundSnapshot ? GuestPlace.AtSource : GuestPlace.Here;
        document.BackgroundSnapshot = report.IsBackgroundSnapshot;
        // The source's guest has been released by now, so only this command waits for the hashes.
        document.Blocks = [.. guest.ComputeDigests().Select(static block => new BlockEntry(block.Name, block.Length, block.Sha256))];
    }

    public static void Write(TextWriter output, ReceiveDocument document)
    {
        SavedVmReport.Write(output, document, document.File);
        if (document.BackgroundSnapshot == true)
        {
            output.WriteLine("a background snapshot: the guest runs on at its source");
        }

        if (document.Postcopy is { } postcopy)
        {
            output.WriteLine(
                $"after the switch to postcopy {Human.Count(postcopy.RequestedPages)} pages came because they were asked for");
        }
    }
}
