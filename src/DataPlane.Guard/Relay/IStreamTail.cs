namespace DataPlane.Guard.Relay;

/// <summary>
/// Sees the last bytes of each piece that is relayed, before the receiver can. It runs on the relay's thread and must not wait or throw.
/// </summary>
internal interface IStreamTail
{
    /// <summary>The largest number of bytes that it wants to see of each piece.</summary>
    int Length { get; }

    /// <param name="last">The last bytes of a piece; the whole piece when it is shorter.</param>
    void Take(ReadOnlySpan<byte> last);
}
