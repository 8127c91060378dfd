using System.Buffers;
using System.Runtime.InteropServices;

namespace DataPlane.Transport;

/// <summary>
/// One pinned block of a <see cref="BlockPool"/>. Whoever rented it owns it until <see cref="Dispose"/>, which returns it. The object lives
/// as long as the pool and is handed out again, so a reference must not be kept past that point.
/// </summary>
internal sealed class PooledBlock : IMemoryOwner<byte>
{
    private readonly BlockPool _pool;
    private readonly byte[] _array;
    private readonly nint _address;
    private int _rented;

    public PooledBlock(BlockPool pool, int length)
    {
        _pool = pool;
        // The pinned heap never moves it, so its address can be given to system calls without a handle.
        _array = GC.AllocateUninitializedArray<byte>(length, pinned: true);
        _address = Marshal.UnsafeAddrOfPinnedArrayElement(_array, 0);
    }

    public Memory<byte> Memory => MemoryMarshal.CreateFromPinnedArray(_array, 0, _array.Length);

    public Span<byte> Span => _array;

    /// <summary>The address of the block for system calls, valid while the block is rented.</summary>
    public nint Address => _address;

    public int Length => _array.Length;

    /// <summary>The name of the holder, for leak reports; of the last holder when the block is free.</summary>
    public string Owner { get; private set; } = "";

    public bool IsRented => Volatile.Read(ref _rented) != 0;

    /// <summary>The next free block of the pool; guarded by the pool's lock.</summary>
    public PooledBlock? NextFree { get; set; }

    public void Lend(string owner)
    {
        Owner = owner;
        Volatile.Write(ref _rented, 1);
    }

    /// <summary>Returns the block to the pool.</summary>
    /// <exception cref="InvalidOperationException">The block was returned before.</exception>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _rented, 0) == 0)
        {
            throw new InvalidOperationException($"A block last rented for '{Owner}' was returned twice.");
        }

        _pool.Return(this);
    }
}
