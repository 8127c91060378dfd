using System.Buffers;
using System.Numerics;
using System.Text;

namespace DataPlane.Wire;

/// <summary>What the stream has announced before an entry of the block list, on which the layout of the entry depends.</summary>
/// <param name="RemainingBytes">Bytes of MEM_SIZE's total that no entry has covered yet.</param>
/// <param name="AdvisedPageSizes">First value of the 16-byte POSTCOPY_ADVISE (all page sizes, ORed); 0 when there was none.</param>
/// <param name="IgnoreShared">Whether the configuration lists x-ignore-shared: then each entry carries a guest physical address.</param>
internal readonly record struct RamBlockEntryOptions(long RemainingBytes, ulong AdvisedPageSizes = 0, bool IgnoreShared = false);

/// <summary>
/// One entry of the block list in ram's START section (specification, 2-main-stream section 2.1).
/// <code>
/// u8 n, name | u64 used length | [u64 page size, with postcopy, huge blocks only] | [u64 guest physical address, x-ignore-shared]
/// </code>
/// </summary>
/// <param name="Name">Name of the block, unique in its list.</param>
/// <param name="Length">Used length in bytes, a multiple of the page size.</param>
/// <param name="PageSize">Host page size of the block where announced, else 4096.</param>
/// <param name="GuestPhysicalAddress">Guest physical address, with x-ignore-shared only.</param>
internal readonly record struct RamBlockEntry(
    string Name, long Length, long PageSize = WireLimits.PageSize, ulong? GuestPhysicalAddress = null)
{
    public const int MaxSize = 1 + WireLimits.MaxNameLength + 3 * sizeof(ulong);

    public static OperationStatus Parse(
        ReadOnlySpan<byte> source, RamBlockEntryOptions options, out RamBlockEntry entry, out int consumed, out string? error)
    {
        entry = default;
        consumed = 0;
        error = null;
        var reader = new WireReader(source);
        if (!reader.TryReadName(out var nameBytes))
        {
            return OperationStatus.NeedMoreData;
        }

        if (!WireName.TryDecode(nameBytes, out var name))
        {
            error = nameBytes.IsEmpty ? "a RAM block has no name" : $"the RAM block name {WireName.Quote(nameBytes)} is not text";
            return OperationStatus.InvalidData;
        }

        if (!reader.TryRead(out ulong length))
        {
            return OperationStatus.NeedMoreData;
        }

        if (length == 0 || (length & WireLimits.PageOffsetMask) != 0)
        {
            error = $"RAM block '{name}' has length {length}, not a positive multiple of {WireLimits.PageSize}";
        }
        else if (length > (ulong)options.RemainingBytes)
        {
            error = $"RAM block '{name}' has {length} bytes, but only {options.RemainingBytes} bytes of the announced total are left";
        }

        if (error is not null)
        {
            return OperationStatus.InvalidData;
        }

        ulong pageSize = WireLimits.PageSize;
        ulong? address = null;
        if (options.IgnoreShared)
        {
            if (!reader.TryRead(out ulong value))
            {
                return OperationStatus.NeedMoreData;
            }

            address = value;
        }
        else if (options.AdvisedPageSizes != 0)
        {
            if (!TrySeePageSize(ref reader, options.RemainingBytes - (long)length, out var present))
            {
                return OperationStatus.NeedMoreData;
            }

            if (present && !reader.TryRead(out pageSize))
            {
                return OperationStatus.NeedMoreData;
            }

            if (!IsPageSize(pageSize, options.AdvisedPageSizes, present) || length % pageSize != 0)
            {
                error = $"RAM block '{name}' of {length} bytes has page size {pageSize}, advised were {options.AdvisedPageSizes:X}";
                return OperationStatus.InvalidData;
            }
        }

        entry = new RamBlockEntry(name, (long)length, (long)pageSize, address);
        consumed = reader.Position;
        return OperationStatus.Done;
    }

    public void Write(IBufferWriter<byte> destination)
    {
        var writer = new WireWriter(destination.GetSpan(MaxSize));
        writer.WriteName(Encoding.UTF8.GetBytes(Name));
        writer.Write((ulong)Length);
        if (GuestPhysicalAddress is { } address)
        {
            writer.Write(address);
        }
        else if (PageSize != WireLimits.PageSize)
        {
            writer.Write((ulong)PageSize);
        }

        destination.Advance(writer.Written);
    }

    /// <summary>
    /// Finds out whether the page size field is present; false if more bytes are needed for that. No flag announces the field. Between
    /// entries its first byte is 00, which no name length is; after the last entry its low 12 bits are 0, which no record's flags are.
    /// </summary>
    private static bool TrySeePageSize(ref WireReader reader, long missing, out bool present)
    {
        present = false;
        if (missing > 0)
        {
            if (!reader.TryPeek(out byte next))
            {
                return false;
            }

            present = next == 0;
            return true;
        }

        if (!reader.TryPeek(out ulong word))
        {
            return false;
        }

        present = (word & WireLimits.PageOffsetMask) == 0;
        return true;
    }

    private static bool IsPageSize(ulong size, ulong advised, bool announced) =>
        !announced
        || (BitOperations.IsPow2(size) && size is >= WireLimits.PageSize and <= (ulong)WireLimits.MaxBlockPageSize
            && (advised & size) != 0);
}
