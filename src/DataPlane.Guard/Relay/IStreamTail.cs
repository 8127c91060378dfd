namespace DataPlane.Guard.Relay;

/// <summary>
/// Sees the last bytes of each piece that is relayed, before the receiver can. On the relay's thread: it must not wait or throw.
/// </summary>
internal interface IStreamTail
{
    /// <summary>How many bytes it wants to see of each piece at most.</summary>
    int Length { get; }

    /// <param name="last">The last bytes of a piece; all of it when it is shorter.</param>
    void Take(ReadOnlySpan<byte> last);
}
