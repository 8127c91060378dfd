using System.Diagnostics.CodeAnalysis;

namespace DataPlane;

/// <summary>All RAM blocks of one guest, in the order in which they are announced. Thread-safe except for <see cref="Dispose"/>.</summary>
public sealed class GuestMemory : IDisposable
{
    private readonly RamBlock[] _blocks;
    private readonly Dictionary<byte[], RamBlock> _byUtf8Name;
    private readonly Dictionary<byte[], RamBlock>.AlternateLookup<ReadOnlySpan<byte>> _byUtf8Span;
    private readonly Dictionary<string, RamBlock> _byName;

    /// <summary>
    /// Creates the memory from blocks, which then belong to it: it sets the <see cref="RamBlock.Index"/> of each, and disposes them with
    /// itself.
    /// </summary>
    /// <exception cref="ArgumentException">
    /// There is no block, a name occurs twice, a block already belongs to a guest, or the total exceeds 2^63 bytes.
    /// </exception>
    public GuestMemory(IReadOnlyList<RamBlock> blocks)
    {
        ArgumentNullException.ThrowIfNull(blocks);
        _blocks = [.. blocks];
        if (_blocks.Length == 0)
        {
            throw new ArgumentException("A guest has at least one RAM block.", nameof(blocks));
        }

        _byUtf8Name = new(_blocks.Length, Utf8NameComparer.Instance);
        _byUtf8Span = _byUtf8Name.GetAlternateLookup<ReadOnlySpan<byte>>();
        _byName = new(_blocks.Length, StringComparer.Ordinal);
        foreach (var block in _blocks)
        {
            if (block.Index >= 0)
            {
                throw new ArgumentException($"Block {block.Name} belongs to a guest already.", nameof(blocks));
            }

            if (!_byName.TryAdd(block.Name, block))
            {
                throw new ArgumentException($"Block name {block.Name} comes twice.", nameof(blocks));
            }

            if (block.Length > long.MaxValue - TotalBytes)
            {
                throw new ArgumentException("The blocks together exceed 2^63 bytes.", nameof(blocks));
            }

            _byUtf8Name.Add(block.Utf8Name.ToArray(), block);
            TotalBytes += block.Length;
        }
        for (var i = 0; i < _blocks.Length; i++)
        {
            _blocks[i].Index = i;
        }
    }

    /// <summary>The blocks, in the order given.</summary>
    public IReadOnlyList<RamBlock> Blocks => _blocks;

    /// <summary>The blocks in the order of <see cref="Blocks"/>, for loops that must not allocate an enumerator.</summary>
    internal ReadOnlySpan<RamBlock> BlockSpan => _blocks;

    /// <summary>Sum of the blocks' lengths in bytes.</summary>
    public long TotalBytes { get; }

    /// <summary>Number of target pages in all blocks.</summary>
    public long TotalPages => TotalBytes >> TargetPage.Shift;

    /// <summary>Finds a block by its name as received, which may be any bytes. Allocates nothing.</summary>
    public bool TryGetBlock(ReadOnlySpan<byte> utf8Name, [NotNullWhen(true)] out RamBlock? block)
        => _byUtf8Span.TryGetValue(utf8Name, out block);

    /// <summary>Finds a block by its name, compared ordinally. Allocates nothing.</summary>
    public bool TryGetBlock(string name, [NotNullWhen(true)] out RamBlock? block) => _byName.TryGetValue(name, out block);

    /// <summary>Disposes every block. Idempotent.</summary>
    public void Dispose()
    {
        foreach (var block in _blocks)
        {
            block.Dispose();
        }
    }

    /// <summary>Compares names byte by byte. The keys are arrays, and lookups use spans.</summary>
    private sealed class Utf8NameComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        internal static readonly Utf8NameComparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            HashCode hash = default;
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
