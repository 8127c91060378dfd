using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>Sends QEMU the first bytes of a channel.</summary>
internal sealed partial class GuardSession
{
    private static unsafe TransferResult SendOpening(Channel qemu, ReadOnlySpan<byte> opening)
    {
        // SAFETY: the bytes are fixed for the call. A fresh socket has room for them all, so it does not block.
        fixed (byte* first = opening)
        {
            Span<Linux.IoVec> vectors = [new((nint)first, (nuint)opening.Length)];
            return qemu.Send(vectors);
        }
    }
}
