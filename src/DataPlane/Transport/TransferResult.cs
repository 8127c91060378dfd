namespace DataPlane.Transport;

/// <summary>
/// What a bulk call did: the bytes that were moved, and why it stopped early if it did. An error here is a value, not an exception.
/// </summary>
/// <param name="Bytes">Bytes moved by this call, also when it did not complete.</param>
/// <param name="End"><see cref="ChannelEnd.None"/> when everything was moved.</param>
/// <param name="Errno">The system's error number, 0 where there was none.</param>
internal readonly record struct TransferResult(long Bytes, ChannelEnd End, int Errno)
{
    internal bool Complete => End == ChannelEnd.None;
}
