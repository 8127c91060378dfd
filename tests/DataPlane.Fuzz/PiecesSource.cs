using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Fuzz;

/// <summary>Gives bytes in pieces of at most one size, each at once: a peer whose packets arrive in that way.</summary>
internal sealed class PiecesSource(ReadOnlyMemory<byte> bytes, int piece)
{
    private int _position;

    /// <summary>A pipe that is filled from here, on blocks of <paramref name="pool"/>.</summary>
    public BlockingPipeReader OpenReader(BlockPool pool) => new(Receive, pool, "fuzzer");

    private unsafe int Receive(IoVec room, EventFd? wake, string? doing)
    {
        var count = Math.Min(Math.Min((int)room.Length, piece), bytes.Length - _position);
        bytes.Span.Slice(_position, count).CopyTo(new Span<byte>((void*)room.Address, count));
        _position += count;
        return count;
    }
}
