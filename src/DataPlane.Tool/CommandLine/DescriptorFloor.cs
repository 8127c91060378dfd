using System.Runtime.InteropServices;
using System.Text;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Checks whether this process may open enough files. The runtime keeps those of its libraries open (76 when <c>serve</c> has started), and
/// when there is no room for one of them the process cannot even report it.
/// </summary>
internal static partial class DescriptorFloor
{
    private const long Usual = 1024;
    private const long Least = 256;

    // Runtime, libraries, files, control socket, and a reserve.
    private const int OfTheProcess = 200;

    // The channel's socket, the descriptor that wakes a thread waiting on it, and a socket that is being replaced.
    private const int PerChannel = 3;

    private const int StandardError = 2;

    /// <summary>Raises the limit where that is allowed. False, after a line on stderr, where it stays too low for any command.</summary>
    public static bool Suffices()
    {
        var allowed = OpenFileLimit.Raise(Usual);
        if (allowed >= Least)
        {
            return true;
        }
        // The system call is made directly: everything else would have to load a library.
        var line = Encoding.UTF8.GetBytes(
            $"dataplane: this process may open {allowed} files, and needs {Least}: raise the limit (ulimit -n, LimitNOFILE)\n");
        _ = Write(StandardError, line, line.Length);
        return false;
    }

    /// <summary>Raises the limit to what the channels of a migration need.</summary>
    /// <exception cref="CommandException">This process may not have so many descriptors.</exception>
    public static void Require(int channels)
    {
        var needed = OfTheProcess + ((long)PerChannel * channels);
        var allowed = OpenFileLimit.Raise(needed);
        if (allowed < needed)
        {
            throw new CommandException(
                $"--channels {channels} may need {needed} open files, and this process may have {allowed}: "
                + "raise the limit (ulimit -n, LimitNOFILE) or take fewer channels");
        }
    }

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(int descriptor, byte[] bytes, nint count);
}
