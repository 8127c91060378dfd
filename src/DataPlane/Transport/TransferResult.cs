namespace DataPlane.Transport;

/// <summary>
/// The result of a bulk call: the bytes that were moved, and why it stopped early if it did. Such errors are returned, not thrown.
/// </summary>
/// <param name="Bytes">Bytes that were moved by this call, also when it did not complete.</param>
/// <param name="End">Why the call stopped early; <see cref="ChannelEnd.None"/> when everything was moved.</param>
/// <param name="Errno">The system's error number; 0 where there was none.</param>
internal readonly record struct TransferResult(long Bytes, ChannelEnd End, int Errno)
{
    internal bool Complete => End == ChannelEnd.None;
}
