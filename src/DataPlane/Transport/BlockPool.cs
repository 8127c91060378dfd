using System.Buffers;

namespace DataPlane.Transport;

/// <summary>
/// Pinned blocks of one size for headers, streams and handshakes. The pool is bounded: beyond that, renting throws, because the use of
/// memory must never follow what a peer sends. Once the blocks exist, renting and returning allocate nothing. Thread-safe.
/// </summary>
/// <remarks>An ObjectPool has no such bound: it creates what it does not have, and does not know who holds what.</remarks>
internal sealed class BlockPool : MemoryPool<byte>
{
    public const int DefaultBlockBytes = 64 * 1024;
    public const long DefaultMaxBytes = 64L * 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly List<PooledBlock> _blocks = [];
    private readonly int _maxBlocks;
    private PooledBlock? _free;
    private int _outstanding;
    private bool _disposed;

    public BlockPool(long maxBytes = DefaultMaxBytes, int blockBytes = DefaultBlockBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockBytes, 256);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, blockBytes);
        BlockBytes = blockBytes;
        _maxBlocks = checked((int)(maxBytes / blockBytes));
    }

    public int BlockBytes { get; }

    /// <summary>The size of a block; renting more throws. The readers and writers of System.IO.Pipelines respect it.</summary>
    public override int MaxBufferSize => BlockBytes;

    public long OutstandingBlocks
    {
        get
        {
            lock (_lock)
            {
                return _outstanding;
            }
        }
    }

    /// <summary>The holders of the blocks that are rented now, once per block. For leak checks and error messages; allocates.</summary>
    public IReadOnlyList<string> OutstandingOwners
    {
        get
        {
            lock (_lock)
            {
                return [.. _blocks.Where(b => b.IsRented).Select(b => b.Owner)];
            }
        }
    }

    /// <summary>Rents a block; <paramref name="owner"/> names the holder in leak reports.</summary>
    /// <exception cref="InvalidOperationException">The pool's bound is reached; the message lists the holders.</exception>
    public PooledBlock RentBlock(string owner)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var block = _free;
            if (block is not null)
            {
                _free = block.NextFree;
                block.NextFree = null;
            }
            else if (_blocks.Count < _maxBlocks)
            {
                block = new PooledBlock(this, BlockBytes);
                _blocks.Add(block);
            }

            if (block is not null)
            {
                _outstanding++;
                block.Lend(owner);
                return block;
            }
        }

        throw new InvalidOperationException($"No block left for '{owner}': {Describe()}.");
    }

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => Rent(minBufferSize, "unnamed");

    /// <summary>
    /// A view of this pool that rents in the name of <paramref name="owner"/>, for code that takes a <see cref="MemoryPool{T}"/>. Disposing
    /// of the view does nothing.
    /// </summary>
    public MemoryPool<byte> For(string owner) => new OwnerView(this, owner);

    public void Return(PooledBlock block)
    {
        lock (_lock)
        {
            _outstanding--;
            if (_disposed)
            {
                return;
            }

            block.NextFree = _free;
            _free = block;
        }
    }

    /// <summary>Blocks that are still rented stay usable, and are dropped when they are returned.</summary>
    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            _disposed = true;
            _free = null;
        }
    }

    private PooledBlock Rent(int minBufferSize, string owner)
    {
        if (minBufferSize > BlockBytes)
        {
            throw new ArgumentOutOfRangeException(
                nameof(minBufferSize), minBufferSize, $"A block has {BlockBytes} bytes; '{owner}' must take several.");
        }

        return RentBlock(owner);
    }

    private string Describe()
    {
        var holders = OutstandingOwners.GroupBy(o => o)
            .OrderByDescending(g => g.Count()).Take(8).Select(g => $"{g.Key} {g.Count()}");
        return $"all {_maxBlocks} blocks of {BlockBytes} bytes are out ({string.Join(", ", holders)})";
    }

    private sealed class OwnerView(BlockPool pool, string owner) : MemoryPool<byte>
    {
        public override int MaxBufferSize => pool.MaxBufferSize;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => pool.Rent(minBufferSize, owner);

        protected override void Dispose(bool disposing)
        {
        }
    }
}
