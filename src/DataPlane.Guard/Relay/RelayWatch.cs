namespace DataPlane.Guard.Relay;

/// <summary>What watches the relay of a main channel.</summary>
/// <param name="Tap">Sees what QEMU sends; null for nothing.</param>
/// <param name="Tail">Sees the end of each piece that the client sends; null for nothing.</param>
/// <param name="Loss">Decides when QEMU is told that its client is lost; null for at once.</param>
internal sealed record RelayWatch(IRelayTap? Tap, IStreamTail? Tail, LossNotice? Loss);
