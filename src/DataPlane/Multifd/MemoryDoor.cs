namespace DataPlane.Multifd;

/// <summary>
/// Lets one multifd channel into guest memory, a packet at a time, until memory is closed to all of them. Taking a packet in and closing
/// are atomic to each other: after <see cref="TryClose"/> the channel touches nothing any more, not even by a call that is under way.
/// </summary>
/// <remarks>One thread enters and leaves; any thread closes. No lock: two exchanges per packet.</remarks>
internal sealed class MemoryDoor
{
    private const int Outside = 0;
    private const int Inside = 1;
    private const int Closed = 2;

    private int _state;

    /// <summary>False when memory is closed; else the thread is inside until <see cref="Leave"/>.</summary>
    public bool TryEnter() => Interlocked.CompareExchange(ref _state, Inside, Outside) == Outside;

    /// <summary>The packet is placed and recorded.</summary>
    public void Leave() => Volatile.Write(ref _state, Outside);

    /// <summary>False when the thread is inside: its packet has come after the source's last sync.</summary>
    public bool TryClose() => Interlocked.CompareExchange(ref _state, Closed, Outside) is Outside or Closed;
}
