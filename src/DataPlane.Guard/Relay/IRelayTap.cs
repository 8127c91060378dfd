namespace DataPlane.Guard.Relay;

/// <summary>Sees the bytes of one direction, in order, before the receiver can. On the relay's thread: it must not wait or throw.</summary>
internal interface IRelayTap
{
    void Take(ReadOnlySpan<byte> bytes);
}
