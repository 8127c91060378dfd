using System.Globalization;
using System.Runtime.InteropServices;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Guard.Order;

/// <summary>
/// The place of the Unix socket that the guard has QEMU listen on: a name in a folder that is held open. QEMU can write there, and is less
/// trusted than the guard. So the guard connects to, and removes, only a socket of this name in this folder, and never what a link points
/// to. Thread-safe.
/// </summary>
internal sealed class SocketPlace : IDisposable
{
    private readonly SafeFileHandle _folder;
    private readonly string _name;

    private SocketPlace(SafeFileHandle folder, string name)
    {
        _folder = folder;
        _name = name;
    }

    /// <param name="path">The path of the socket. The socket need not exist yet, but its folder must.</param>
    /// <exception cref="LinuxException">The folder cannot be opened.</exception>
    public static SocketPlace Open(string path)
    {
        var full = Path.GetFullPath(path);
        var folder = LinuxFile.Open(Path.GetDirectoryName(full) ?? "/", FileCalls.OpenPath | FileCalls.OpenDirectory);
        return new SocketPlace(folder, Path.GetFileName(full));
    }

    /// <summary>
    /// Holds on to the socket that is there now. <see cref="PinnedSocket.Address"/> leads to this very socket, whatever becomes of its name
    /// meanwhile.
    /// </summary>
    /// <exception cref="LinuxException">There is nothing, or it is not a socket.</exception>
    public PinnedSocket Pin()
    {
        var descriptor = FileCalls.OpenAt(_folder, _name, FileCalls.OpenPath | FileCalls.OpenNoFollow | FileCalls.OpenCloseOnExec, 0);
        if (descriptor < 0)
        {
            throw new LinuxException("open", Marshal.GetLastPInvokeError(), _name);
        }

        var file = new SafeFileHandle(descriptor, ownsHandle: true);
        if (FileCalls.FileTypeOf(file, "") == FileCalls.FileTypeSocket)
        {
            return new PinnedSocket(file);
        }

        file.Dispose();
        throw new LinuxException("connect", Errno.ENOTSOCK, _name);
    }

    /// <summary>Removes the socket. Returns false when there is nothing, or no socket, or the guard may not remove it.</summary>
    public bool TryRemove() =>
        FileCalls.FileTypeOf(_folder, _name) == FileCalls.FileTypeSocket && FileCalls.UnlinkAt(_folder, _name, 0) == 0;

    public void Dispose() => _folder.Dispose();
}

/// <summary>A Unix socket that is held on to. Connect to it before this object is disposed of.</summary>
internal sealed class PinnedSocket(SafeFileHandle file) : IDisposable
{
    /// <summary>An address that leads to the socket by its descriptor, so that no name is looked up.</summary>
    public ChannelAddress Address { get; } =
        ChannelAddress.Unix(string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{file.DangerousGetHandle()}"));

    public void Dispose() => file.Dispose();
}
