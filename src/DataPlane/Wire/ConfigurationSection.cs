using System.Buffers;
using System.Text;

namespace DataPlane.Wire;

/// <summary>
/// The section after the stream header: which machine this is and which capabilities change the stream's layout (specification,
/// 2-main-stream section 1.2).
/// <code>
/// 07 | u32 n, machine type name | subsections
/// subsection:  05 | u8 n, name | u32 1 | body
///   configuration/target-page-bits   u32 bits (never sent for x86)
///   configuration/capabilities       u32 count, then names: u8 n, n bytes
///   configuration/uuid               16 bytes in text order
/// </code>
/// </summary>
internal sealed class ConfigurationSection
{
    /// <summary>
    /// More than the largest section within the limits: 64 capabilities of 256 bytes each, and less than 1 KiB of other fields.
    /// </summary>
    public const int MaxSize = 32 * 1024;

    public const string IgnoreSharedCapability = "x-ignore-shared";
    public const string MappedRamCapability = "mapped-ram";

    private const uint SubsectionVersion = 1;
    private const int UuidSize = 16;

    public required string MachineName { get; init; }

    /// <summary>The listed capabilities. Only x-ignore-shared and mapped-ram are ever announced; the parser refuses any other.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    public Guid? Uuid { get; init; }

    /// <summary>The target page bits as announced; null, the usual case, means 12.</summary>
    public int? TargetPageBits { get; init; }

    public bool IgnoresShared => Capabilities.Contains(IgnoreSharedCapability);

    public bool IsMappedRam => Capabilities.Contains(MappedRamCapability);

    private static ReadOnlySpan<byte> PageBitsName => "configuration/target-page-bits"u8;

    private static ReadOnlySpan<byte> CapabilitiesName => "configuration/capabilities"u8;

    private static ReadOnlySpan<byte> UuidName => "configuration/uuid"u8;

    /// <summary>
    /// Parses a section. It needs one byte more than the section has: only the next element shows that no subsection follows.
    /// </summary>
    public static OperationStatus Parse(ReadOnlySpan<byte> source, out ConfigurationSection? section, out int consumed, out string? error)
    {
        section = null;
        consumed = 0;
        var reader = new WireReader(source);
        var status = ReadMachineName(ref reader, out var machineName, out error);
        if (status != OperationStatus.Done)
        {
            return status;
        }

        var found = new Subsections();
        while (true)
        {
            if (!reader.TryPeek(out byte next))
            {
                return OperationStatus.NeedMoreData;
            }

            if (next != (byte)SectionType.Subsection)
            {
                break;
            }

            status = ReadSubsection(ref reader, ref found, out error);
            if (status != OperationStatus.Done)
            {
                return status;
            }
        }

        section = new ConfigurationSection
        {
            MachineName = machineName,
            Capabilities = found.Capabilities ?? [],
            Uuid = found.Uuid,
            TargetPageBits = found.PageBits,
        };
        consumed = reader.Position;
        return OperationStatus.Done;
    }

    public void Write(IBufferWriter<byte> destination)
    {
        var machineName = Encoding.UTF8.GetBytes(MachineName);
        if (machineName.Length is 0 or > WireLimits.MaxMachineNameLength)
        {
            throw new InvalidOperationException($"A machine name has 1 to {WireLimits.MaxMachineNameLength} bytes.");
        }

        var capabilityBytes = Capabilities.Sum(c => 1 + Encoding.UTF8.GetByteCount(c));
        var maxSize = 1 + 4 + machineName.Length + 3 * (1 + 1 + 32 + 4) + 4 + 4 + capabilityBytes + UuidSize;
        var writer = new WireWriter(destination.GetSpan(maxSize));
        writer.Write((byte)SectionType.Configuration);
        writer.Write((uint)machineName.Length);
        writer.WriteBytes(machineName);
        if (TargetPageBits is { } bits)
        {
            WriteSubsection(ref writer, PageBitsName);
            writer.Write((uint)bits);
        }

        if (Capabilities.Count > 0)
        {
            WriteSubsection(ref writer, CapabilitiesName);
            writer.Write((uint)Capabilities.Count);
            foreach (var capability in Capabilities)
            {
                writer.WriteName(Encoding.UTF8.GetBytes(capability));
            }
        }

        if (Uuid is { } uuid)
        {
            WriteSubsection(ref writer, UuidName);
            writer.WriteBytes(uuid.ToByteArray(bigEndian: true));
        }

        destination.Advance(writer.Written);
    }

    private static void WriteSubsection(ref WireWriter writer, ReadOnlySpan<byte> name)
    {
        writer.Write((byte)SectionType.Subsection);
        writer.WriteName(name);
        writer.Write(SubsectionVersion);
    }

    private static OperationStatus ReadMachineName(ref WireReader reader, out string machineName, out string? error)
    {
        machineName = string.Empty;
        error = null;
        if (!reader.TryRead(out byte type))
        {
            return OperationStatus.NeedMoreData;
        }

        if (type != (byte)SectionType.Configuration)
        {
            error = $"byte {type:X2} instead of the configuration (07); machine types up to 2.3 send none and are not supported";
            return OperationStatus.InvalidData;
        }

        if (!reader.TryRead(out uint length))
        {
            return OperationStatus.NeedMoreData;
        }

        if (length is 0 or > WireLimits.MaxMachineNameLength)
        {
            error = $"the machine name has {length} bytes, allowed are 1 to {WireLimits.MaxMachineNameLength}";
            return OperationStatus.InvalidData;
        }

        if (!reader.TryReadBytes((int)length, out var name))
        {
            return OperationStatus.NeedMoreData;
        }

        if (!WireName.TryDecode(name, out machineName))
        {
            error = $"the machine name {WireName.Quote(name)} is not text";
            return OperationStatus.InvalidData;
        }

        return OperationStatus.Done;
    }

    private static OperationStatus ReadSubsection(ref WireReader reader, ref Subsections found, out string? error)
    {
        error = null;
        if (!reader.TryRead(out byte _) || !reader.TryReadName(out var name) || !reader.TryRead(out uint version))
        {
            return OperationStatus.NeedMoreData;
        }

        if (version != SubsectionVersion)
        {
            error = $"version {version} of subsection {WireName.Quote(name)} is not supported";
        }
        else if (name.SequenceEqual(PageBitsName) && found.PageBits is null)
        {
            return ReadPageBits(ref reader, ref found, out error);
        }
        else if (name.SequenceEqual(CapabilitiesName) && found.Capabilities is null)
        {
            return ReadCapabilities(ref reader, ref found, out error);
        }
        else if (name.SequenceEqual(UuidName) && found.Uuid is null)
        {
            return ReadUuid(ref reader, ref found);
        }
        else
        {
            error = $"the configuration has an unknown or repeated subsection {WireName.Quote(name)}";
        }

        return OperationStatus.InvalidData;
    }

    private static OperationStatus ReadPageBits(ref WireReader reader, ref Subsections found, out string? error)
    {
        error = null;
        if (!reader.TryRead(out uint bits))
        {
            return OperationStatus.NeedMoreData;
        }

        if (bits != TargetPage.Shift)
        {
            error = $"target pages of 2^{bits} bytes are not supported, only 2^{TargetPage.Shift}";
            return OperationStatus.InvalidData;
        }

        found.PageBits = TargetPage.Shift;
        return OperationStatus.Done;
    }

    private static OperationStatus ReadCapabilities(ref WireReader reader, ref Subsections found, out string? error)
    {
        error = null;
        if (!reader.TryRead(out uint count))
        {
            return OperationStatus.NeedMoreData;
        }

        if (count > WireLimits.MaxCapabilities)
        {
            error = $"the configuration lists {count} capabilities, allowed are {WireLimits.MaxCapabilities}";
            return OperationStatus.InvalidData;
        }

        var names = new List<string>();
        for (uint i = 0; i < count; i++)
        {
            if (!reader.TryReadName(out var name))
            {
                return OperationStatus.NeedMoreData;
            }

            if (name.SequenceEqual("x-ignore-shared"u8))
            {
                names.Add(IgnoreSharedCapability);
            }
            else if (name.SequenceEqual("mapped-ram"u8))
            {
                names.Add(MappedRamCapability);
            }
            else
            {
                error = $"the configuration lists the unknown capability {WireName.Quote(name)}";
                return OperationStatus.InvalidData;
            }
        }

        found.Capabilities = names;
        return OperationStatus.Done;
    }

    private static OperationStatus ReadUuid(ref WireReader reader, ref Subsections found)
    {
        if (!reader.TryReadBytes(UuidSize, out var uuid))
        {
            return OperationStatus.NeedMoreData;
        }

        found.Uuid = new Guid(uuid, bigEndian: true);
        return OperationStatus.Done;
    }

    private struct Subsections
    {
        public int? PageBits;
        public List<string>? Capabilities;
        public Guid? Uuid;
    }
}
