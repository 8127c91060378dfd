using System.Diagnostics.CodeAnalysis;
using System.Text;
using DataPlane.Linux;

namespace DataPlane.Memory;

/// <summary>
/// One named, contiguous part of guest memory ("pc.ram"). It never moves; its length is a multiple of <see cref="TargetPage.Size"/>.
/// </summary>
/// <remarks>
/// Thread-safe but for <see cref="Dispose"/>: no thread may use the memory, or an address taken from it, during or after that.
/// Reading and writing the bytes at the same time is the guest's business; whoever sends pages relies on dirty tracking to send torn ones
/// again.
/// </remarks>
public sealed class RamBlock : IDisposable
{
    /// <summary>Longest name that fits the wire, in bytes of UTF-8 (the shortest is 1).</summary>
    public const int MaxNameBytes = 255;

    // Lone surrogates must not become '?' on the wire.
    private static readonly UTF8Encoding s_strictUtf8 = new(false, throwOnInvalidBytes: true);

    private readonly byte[] _utf8Name;
    private readonly IDisposable? _owner;
    private nint _address;

    private RamBlock(string name, byte[] utf8Name, nint address, long length, bool startsZeroed, long hostPageSize, IDisposable? owner)
    {
        HostPageSize = hostPageSize;
        Name = name;
        _utf8Name = utf8Name;
        _address = address;
        Length = length;
        StartsZeroed = startsZeroed;
        _owner = owner;
    }

    /// <summary>The name as on the wire: 1 to 255 bytes of UTF-8, none of them zero.</summary>
    public string Name { get; }

    /// <summary>Bytes; a positive multiple of <see cref="TargetPage.Size"/>.</summary>
    public long Length { get; }

    /// <summary>Pages of <see cref="TargetPage.Size"/> bytes.</summary>
    public long PageCount => Length >> TargetPage.Shift;

    /// <summary>Where the first byte is in this process; a multiple of <see cref="TargetPage.Size"/>. Zero once disposed.</summary>
    public nint Address => _address;

    /// <summary>Position among the blocks of its <see cref="GuestMemory"/>; -1 before it belongs to one.</summary>
    public int Index { get; internal set; } = -1;

    /// <summary>The memory is known to read as zero until the migration writes it, so an arriving zero page needs no write.</summary>
    public bool StartsZeroed { get; }

    /// <summary>
    /// Bytes of the pages that back the memory: 4096, or 2 MiB where they are reserved huge pages. The kernel places no less.
    /// </summary>
    public long HostPageSize { get; }

    internal ReadOnlySpan<byte> Utf8Name => _utf8Name;

    /// <summary>Allocates memory that reads as zero, on 2 MiB alignment when that helps huge pages. Disposing the block frees it.</summary>
    /// <param name="name">1 to 255 bytes of UTF-8 without zero bytes.</param>
    /// <param name="length">Bytes; a positive multiple of <see cref="TargetPage.Size"/>.</param>
    /// <param name="options">Kind of memory.</param>
    /// <exception cref="ArgumentException">Name or length is not allowed.</exception>
    /// <exception cref="IOException">The kernel has no such memory to give.</exception>
    public static RamBlock Allocate(string name, long length, RamAllocation options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var utf8Name = EncodeName(name);
        CheckLength(length);
        CheckHostPages(length, options.HostPageSize);

        var mapping = Map(length, options);
        try
        {
            if (options.HostPageSize == TargetPage.Size)
            {
                mapping.PreferHugePages(options.HugePages);
            }

            if (options.Populate)
            {
                mapping.Populate(0, length);
            }

            return new RamBlock(name, utf8Name, mapping.Address, length, startsZeroed: true, options.HostPageSize, mapping);
        }
        catch
        {
            mapping.Dispose();
            throw;
        }
    }

    /// <summary>Takes memory that the host already has. It must stay mapped, readable and writable until the block is disposed.</summary>
    /// <param name="name">1 to 255 bytes of UTF-8 without zero bytes.</param>
    /// <param name="address">First byte; a positive multiple of <see cref="TargetPage.Size"/>.</param>
    /// <param name="length">Bytes; a positive multiple of <see cref="TargetPage.Size"/>.</param>
    /// <param name="startsZeroed">The host knows that every byte is zero now.</param>
    /// <param name="owner">Disposed with the block; null if the host frees the memory itself.</param>
    /// <param name="hostPageSize">Bytes of the pages that back it: 4096 or 2 MiB.</param>
    /// <exception cref="ArgumentException">Name, address or length is not allowed.</exception>
    public static RamBlock Wrap(
        string name, nint address, long length, bool startsZeroed, IDisposable? owner = null, long hostPageSize = TargetPage.Size)
    {
        var utf8Name = EncodeName(name);
        CheckLength(length);
        CheckHostPages(length, hostPageSize);
        if (address <= 0 || address % hostPageSize != 0)
        {
            throw new ArgumentException($"Address 0x{address:x} is not a positive multiple of {hostPageSize}.", nameof(address));
        }

        if (length > nint.MaxValue - address)
        {
            throw new ArgumentException($"{length} bytes from address 0x{address:x} leave the address space.", nameof(length));
        }

        return new RamBlock(name, utf8Name, address, length, startsZeroed, hostPageSize, owner);
    }

    /// <summary>The bytes from <paramref name="offset"/>; bounds are checked, allocates nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the block.</exception>
    public unsafe Span<byte> Span(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_address == 0, this);
        if ((ulong)offset > (ulong)Length || (uint)length > (ulong)(Length - offset))
        {
            ThrowOutside(offset, length);
        }
        // SAFETY: the range was checked against the block, whose memory is mapped until Dispose.
        return new Span<byte>((byte*)_address + offset, length);
    }

    /// <summary>Frees memory that the block allocated, or disposes the owner given to <see cref="Wrap"/>. Idempotent.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _address, 0) != 0)
        {
            _owner?.Dispose();
        }
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Length} bytes)";

    [DoesNotReturn]
    private void ThrowOutside(long offset, int length)
        => throw new ArgumentOutOfRangeException(nameof(offset), $"{length} bytes at {offset} are not inside block {this}.");

    private static MemoryMapping Map(long length, RamAllocation options)
    {
        if (options.HostPageSize != TargetPage.Size)
        {
            return MemoryMapping.OfReservedHugePages(length, options.Shared);
        }

        var alignment = options.HugePages && length >= MemoryMapping.HugePageSize ? MemoryMapping.HugePageSize : 0;
        if (!options.Shared)
        {
            return MemoryMapping.Anonymous(length, alignment);
        }
        // The mapping keeps the memory file alive; the descriptor is not needed any longer.
        using var file = LinuxFile.CreateInMemory("guest-ram", length);
        return MemoryMapping.OfFile(file, 0, length, alignment);
    }

    private static byte[] EncodeName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        byte[] bytes;
        try
        {
            bytes = s_strictUtf8.GetBytes(name);
        }
        catch (EncoderFallbackException e)
        {
            throw new ArgumentException("The name of a RAM block is not valid Unicode.", nameof(name), e);
        }
        if (bytes.Length is 0 or > MaxNameBytes)
        {
            throw new ArgumentException(
                $"The name of a RAM block takes {bytes.Length} bytes of UTF-8; 1 to {MaxNameBytes} are allowed.", nameof(name));
        }
        if (bytes.Contains((byte)0))
        {
            throw new ArgumentException("The name of a RAM block contains a zero byte.", nameof(name));
        }

        return bytes;
    }

    private static void CheckHostPages(long length, long hostPageSize)
    {
        if (hostPageSize is not (TargetPage.Size or MemoryMapping.HugePageSize) || length % hostPageSize != 0)
        {
            throw new ArgumentException(
                $"{length} bytes are not made of pages of {hostPageSize} bytes, which may be 4096 or 2 MiB.", nameof(hostPageSize));
        }
    }

    private static void CheckLength(long length)
    {
        if (length <= 0 || length % TargetPage.Size != 0)
        {
            throw new ArgumentException($"Length {length} is not a positive multiple of {TargetPage.Size}.", nameof(length));
        }
    }
}
