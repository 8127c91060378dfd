namespace DataPlane.Guard.Relay;

/// <summary>
/// Sees the bytes of one direction, in order, before the receiver can. It runs on the relay's thread and must not wait or throw.
/// </summary>
internal interface IRelayTap
{
    void Take(ReadOnlySpan<byte> bytes);
}
