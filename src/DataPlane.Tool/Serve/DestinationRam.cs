using DataPlane.Tool.Bench;

namespace DataPlane.Tool.Serve;

/// <summary>
/// The destination's memory, kept between the legs of a session. It is allocated and populated once, so that no leg pays for first touch,
/// and set back to zero before each leg, so that a page which the leg does not deliver cannot be right by accident.
/// </summary>
/// <param name="bytes">The size of the memory.</param>
/// <param name="populate">False for a leg that fetches its pages one by one; the memory serves that leg only.</param>
internal sealed class DestinationRam(long bytes, bool populate) : IDisposable
{
    private readonly RamBlock _memory = RamBlock.Allocate("pc.ram", bytes, new RamAllocation { Populate = populate });
    private bool _isFresh = true;

    public long Bytes => _memory.Length;

    public RamBlock Block => _memory;

    public bool IsReusable => populate;

    /// <summary>The memory for a guest that has received nothing yet. The guest of the leg before must not be used any more.</summary>
    public GuestMemory FreshGuest()
    {
        if (!_isFresh)
        {
            MemoryFill.Clear(_memory);
        }

        _isFresh = false;
        return new GuestMemory([RamBlock.Wrap(_memory.Name, _memory.Address, _memory.Length, startsZeroed: true)]);
    }

    public void Dispose() => _memory.Dispose();
}
