using Microsoft.Win32.SafeHandles;

namespace DataPlane.Transport.Tls;

/// <summary>
/// A session of OpenSSL, and the network end of the memory that it reads and writes. It is freed when the last thread that holds a
/// reference has released it, because one thread may close a channel while another sends from that memory.
/// </summary>
internal sealed class TlsHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <param name="session">The session, which owns its own end of the memory.</param>
    /// <param name="network">The network end of the memory.</param>
    public TlsHandle(nint session, nint network)
        : base(ownsHandle: true)
    {
        Network = network;
        SetHandle(session);
    }

    public nint Network { get; }

    protected override bool ReleaseHandle()
    {
        OpenSsl.FreeSession(handle);
        _ = OpenSsl.FreeBio(Network);
        return true;
    }
}
