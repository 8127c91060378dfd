namespace DataPlane.Multifd;

/// <summary>
/// Lets one multifd channel write to guest memory, one packet at a time, until memory is closed to all channels. Receiving a packet and
/// closing the memory exclude each other: after <see cref="TryClose"/> has returned true, the channel writes nothing to guest memory any
/// more.
/// </summary>
/// <remarks>
/// Only the thread of the channel enters and leaves; any thread may close. Entering costs one interlocked exchange, and there is no lock.
/// </remarks>
internal sealed class MemoryAccess
{
    private const int Outside = 0;
    private const int Inside = 1;
    private const int Closed = 2;

    private int _state;

    /// <summary>Enters the memory until <see cref="Leave"/>. Returns false if the memory is closed.</summary>
    public bool TryEnter() => Interlocked.CompareExchange(ref _state, Inside, Outside) == Outside;

    /// <summary>To be called when the pages of the packet have been placed and recorded.</summary>
    public void Leave() => Volatile.Write(ref _state, Outside);

    /// <summary>
    /// Closes the memory for good. Returns false if the channel is placing a packet: it came after the source's last sync.
    /// </summary>
    public bool TryClose() => Interlocked.CompareExchange(ref _state, Closed, Outside) is Outside or Closed;
}
