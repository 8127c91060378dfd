using Microsoft.Win32.SafeHandles;

namespace DataPlane.Transport.Tls;

/// <summary>
/// A session of OpenSSL and the far end of the memory it reads and writes. Freed when the last thread that holds a reference has left it:
/// another thread may close a channel while one is sending from that memory.
/// </summary>
internal sealed class TlsHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <param name="session">The session, which owns the near end.</param>
    /// <param name="network">The far end.</param>
    internal TlsHandle(nint session, nint network)
        : base(ownsHandle: true)
    {
        Network = network;
        SetHandle(session);
    }

    internal nint Network { get; }

    protected override bool ReleaseHandle()
    {
        OpenSsl.FreeSession(handle);
        _ = OpenSsl.FreeBio(Network);
        return true;
    }
}
