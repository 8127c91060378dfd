namespace DataPlane.Tool.Receive;

/// <summary>The limit of a VM's size where none was given: its memory is reserved on the disk as a whole.</summary>
internal static class DiskSpace
{
    /// <summary>
    /// The bytes that are free for a file at <paramref name="path"/>, at least one page; no limit where that is not known.
    /// </summary>
    public static long FreeFor(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        try
        {
            return Math.Max(TargetPage.Size, new DriveInfo(folder).AvailableFreeSpace);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return long.MaxValue; // the reservation will tell
        }
    }
}
