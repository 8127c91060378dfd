using System.Diagnostics.CodeAnalysis;
using System.Text;
using DataPlane.Linux;

namespace DataPlane;

/// <summary>
/// One named, contiguous part of guest memory ("pc.ram"). It never moves; its length is a multiple of <see cref="TargetPage.Size"/>.
/// </summary>
/// <remarks>
/// Thread-safe except for <see cref="Dispose"/>: no thread may use the memory, or an address taken from it, during or after that call. The
/// guest may write bytes while they are read; senders of pages rely on dirty tracking to send torn pages again.
/// </remarks>
public sealed class RamBlock : IDisposable
{
    /// <summary>Length of the longest name that can be sent, in bytes of UTF-8 (the shortest is 1).</summary>
    public const int MaxNameBytes = 255;

    // The encoding is strict, since lone surrogates must not become '?' on the wire.
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

    /// <summary>The name as it is sent: 1 to 255 bytes of UTF-8, none of them zero.</summary>
    public string Name { get; }

    /// <summary>Length in bytes; a positive multiple of <see cref="TargetPage.Size"/>.</summary>
    public long Length { get; }

    /// <summary>Number of pages of <see cref="TargetPage.Size"/> bytes.</summary>
    public long PageCount => Length >> TargetPage.Shift;

    /// <summary>
    /// Address of the first byte in this process; a multiple of <see cref="TargetPage.Size"/>, and zero after <see cref="Dispose"/>.
    /// </summary>
    public nint Address => _address;

    /// <summary>Position among the blocks of its <see cref="GuestMemory"/>; -1 until the block belongs to one.</summary>
    public int Index { get; internal set; } = -1;

    /// <summary>
    /// Whether the memory is known to read as zero until the migration writes it. If so, a zero page that arrives need not be written.
    /// </summary>
    public bool StartsZeroed { get; }

    /// <summary>
    /// Size in bytes of the pages that back the memory: 4096, or 2 MiB for reserved huge pages. userfaultfd places no smaller unit.
    /// </summary>
    public long HostPageSize { get; }

    internal ReadOnlySpan<byte> Utf8Name => _utf8Name;

    /// <summary>Allocates memory that reads as zero, aligned to 2 MiB where that helps huge pages. Disposing the block frees it.</summary>
    /// <param name="name">1 to 255 bytes of UTF-8 without zero bytes.</param>
    /// <param name="length">Length in bytes; a positive multiple of <see cref="TargetPage.Size"/> and of the host page size.</param>
    /// <param name="options">The kind of memory.</param>
    /// <exception cref="ArgumentException">The name, the length or the host page size is not allowed.</exception>
    /// <exception cref="IOException">The kernel cannot provide such memory.</exception>
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

    /// <summary>
    /// Creates a block of memory that the host already has. The memory must stay mapped, readable and writable until the block is disposed.
    /// </summary>
    /// <param name="name">1 to 255 bytes of UTF-8 without zero bytes.</param>
    /// <param name="address">Address of the first byte; a positive multiple of <paramref name="hostPageSize"/>.</param>
    /// <param name="length">Length in bytes; a positive multiple of <paramref name="hostPageSize"/>.</param>
    /// <param name="startsZeroed">True if the host knows that every byte is zero now.</param>
    /// <param name="owner">Disposed with the block; null if the host frees the memory itself.</param>
    /// <param name="hostPageSize">Size in bytes of the pages that back the memory: 4096 (default) or 2 MiB.</param>
    /// <exception cref="ArgumentException">The name, the address, the length or the host page size is not allowed.</exception>
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

    /// <summary>
    /// Returns <paramref name="length"/> bytes of the memory from <paramref name="offset"/> on. Checks the bounds, and allocates nothing.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the block.</exception>
    /// <exception cref="ObjectDisposedException">The block has been disposed.</exception>
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
                $"{length} bytes are not made of pages of {hostPageSize} bytes, which may be {TargetPage.Size} or 2 MiB.",
                nameof(hostPageSize));
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
