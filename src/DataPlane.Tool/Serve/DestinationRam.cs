using DataPlane.Memory;
using DataPlane.Tool.Bench;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The destination's memory, kept between the legs of a session: allocated and populated once, so that no leg pays for first touch,
/// and set back to zero before each leg, so that a page which the leg does not deliver cannot be right by accident.
/// </summary>
internal sealed class DestinationRam(long bytes) : IDisposable
{
    private readonly RamBlock _memory = RamBlock.Allocate("pc.ram", bytes, new RamAllocation { Populate = true });
    private bool _isFresh = true;

    public long Bytes => _memory.Length;

    public RamBlock Block => _memory;

    /// <summary>The memory as a guest that has received nothing yet. The guest of the leg before must not be used any more.</summary>
    public GuestMemory FreshGuest()
    {
        if (!_isFresh)
            MemoryFill.Clear(_memory);
        _isFresh = false;
        return new GuestMemory([RamBlock.Wrap(_memory.Name, _memory.Address, _memory.Length, startsZeroed: true)]);
    }

    public void Dispose() => _memory.Dispose();
}
