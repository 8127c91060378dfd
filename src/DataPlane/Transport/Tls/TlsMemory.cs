using System.Buffers;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// A piece of a session's memory as <see cref="Memory{T}"/>, for the runtime's sockets. One object serves all pieces of a direction, one
/// after the other.
/// </summary>
internal sealed unsafe class TlsMemory : MemoryManager<byte>
{
    private IoVec _piece;

    public Memory<byte> Over(IoVec piece)
    {
        _piece = piece;
        return Memory;
    }

    // SAFETY: the user holds the session while the runtime works on the piece, so it is not freed.
    public override Span<byte> GetSpan() => new((void*)_piece.Address, (int)_piece.Length);

    public override MemoryHandle Pin(int elementIndex = 0) => new((byte*)_piece.Address + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
