using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>A file under construction: readable for its owner only, with all its space reserved.</summary>
internal static class PartialFile
{
    /// <exception cref="IOException">
    /// The folder is missing or not writable, or the disk has not enough space; nothing is left behind.
    /// </exception>
    public static SafeFileHandle Create(string path, long length)
    {
        var file = LinuxFile.CreateNew(path);
        try
        {
            LinuxFile.SetLength(file, length);
            Reserve(file, path, length);
            return file;
        }
        catch
        {
            file.Dispose();
            File.Delete(path);
            throw;
        }
    }

    private static void Reserve(SafeFileHandle file, string path, long length)
    {
        try
        {
            LinuxFile.Reserve(file, 0, length);
        }
        catch (LinuxException failure) when (failure.Errno == Errno.EOPNOTSUPP)
        {
            throw new IOException(
                $"the file system of '{Path.GetDirectoryName(path)}' cannot reserve space (fallocate): choose another folder", failure);
        }
        catch (LinuxException failure)
        {
            throw new IOException($"no space for {length} bytes in '{Path.GetDirectoryName(path)}': {failure.Message}", failure);
        }
    }
}
