using DataPlane.Memory;

namespace DataPlane.Tool.Receive;

/// <summary>What a VM may be at most, where nobody has said it: its memory is reserved on the disk as a whole.</summary>
internal static class DiskSpace
{
    /// <summary>Bytes that are free for a file at <paramref name="path"/>, and one page where nothing is.</summary>
    public static long FreeFor(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        try
        {
            return Math.Max(TargetPage.Size, new DriveInfo(folder).AvailableFreeSpace);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return long.MaxValue; // the reservation says what there is
        }
    }
}
