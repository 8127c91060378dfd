using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace DataPlane.Wire;

/// <summary>A FULL section as the VM description gives it.</summary>
/// <param name="Name">The section's name.</param>
/// <param name="Instance">The section's instance.</param>
/// <param name="BodySize">Bytes between the section's header and footer; null if the sizes given make no sense.</param>
internal readonly record struct VmDescriptionDevice(string Name, uint Instance, long? BodySize);

/// <summary>
/// The JSON that a source sends after its device state: one entry per FULL section, in the order of the stream (specification,
/// 2-main-stream section 5.2). Nothing else in the stream tells how long the sections are.
/// <code>
/// described device:  sum(fields) + sum(subsections)
/// old style device:  "size" (no "vmsd_name")
/// field:             size * array_len; never what its "struct" lists, size already counts that
/// subsection:        6 + length of vmsd_name + sum(fields) + sum(subsections)
/// </code>
/// </summary>
internal sealed class VmDescription
{
    /// <summary>Structs within structs take two levels each; QEMU's deepest use about twenty.</summary>
    private const int MaxDepth = 256;

    /// <summary>Type byte, length of the name and version in front of a subsection's fields.</summary>
    private const int SubsectionOverhead = 6;

    private VmDescription(IReadOnlyList<VmDescriptionDevice> devices) => Devices = devices;

    public IReadOnlyList<VmDescriptionDevice> Devices { get; }

    public static bool TryParse(
        ReadOnlySpan<byte> json, [NotNullWhen(true)] out VmDescription? description, [NotNullWhen(false)] out string? error)
    {
        description = null;
        try
        {
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
            Expect(ref reader, JsonTokenType.StartObject);
            var devices = new List<VmDescriptionDevice>();
            while (NextProperty(ref reader))
            {
                if (reader.ValueTextEquals("devices"u8))
                {
                    ReadDevices(ref reader, devices);
                }
                else
                {
                    reader.Skip();
                }
            }

            // This read refuses whatever stands after the object.
            reader.Read();
            description = new VmDescription(devices);
            error = null;
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The reader throws InvalidOperationException at a string that is not UTF-8.
            error = $"the VM description is not what QEMU writes: {e.Message}";
            return false;
        }
    }

    private static void ReadDevices(ref Utf8JsonReader reader, List<VmDescriptionDevice> devices)
    {
        Expect(ref reader, JsonTokenType.StartArray);
        while (NextElement(ref reader))
        {
            if (devices.Count == WireLimits.MaxDevices)
            {
                throw new JsonException($"more than {WireLimits.MaxDevices} devices");
            }

            devices.Add(ReadDevice(ref reader));
        }
    }

    private static VmDescriptionDevice ReadDevice(ref Utf8JsonReader reader)
    {
        string? name = null;
        uint instance = 0;
        var described = false;
        ByteCount size = default, content = default;
        while (NextProperty(ref reader))
        {
            if (reader.ValueTextEquals("name"u8))
            {
                Expect(ref reader, JsonTokenType.String);
                name = reader.GetString();
            }
            else if (reader.ValueTextEquals("instance_id"u8))
            {
                instance = ReadInstance(ref reader);
            }
            else if (reader.ValueTextEquals("vmsd_name"u8))
            {
                described = true;
                reader.Skip();
            }
            else if (reader.ValueTextEquals("size"u8))
            {
                size = ReadSize(ref reader);
            }
            else
            {
                ReadContent(ref reader, ref content);
            }
        }

        if (string.IsNullOrEmpty(name))
        {
            throw new JsonException("a device has no name");
        }

        return new VmDescriptionDevice(name, instance, (described ? content : size).Value);
    }

    /// <summary>Adds up the property whose name was just read: "fields" and "subsections" count, all others are skipped.</summary>
    private static void ReadContent(ref Utf8JsonReader reader, ref ByteCount total)
    {
        if (reader.ValueTextEquals("fields"u8))
        {
            Expect(ref reader, JsonTokenType.StartArray);
            while (NextElement(ref reader))
            {
                total += ReadField(ref reader);
            }
        }
        else if (reader.ValueTextEquals("subsections"u8))
        {
            Expect(ref reader, JsonTokenType.StartArray);
            while (NextElement(ref reader))
            {
                total += ReadSubsection(ref reader);
            }
        }
        else
        {
            reader.Skip();
        }
    }

    private static ByteCount ReadField(ref Utf8JsonReader reader)
    {
        ByteCount size = default;
        var length = new ByteCount(1);
        while (NextProperty(ref reader))
        {
            if (reader.ValueTextEquals("size"u8))
            {
                size = ReadSize(ref reader);
            }
            else if (reader.ValueTextEquals("array_len"u8))
            {
                length = ReadSize(ref reader);
            }
            else
            {
                reader.Skip();
            }
        }

        // An array length of 0 is not written; read it as "no array", like a missing one.
        return length.Value == 0 ? size : size * length;
    }

    private static ByteCount ReadSubsection(ref Utf8JsonReader reader)
    {
        var total = new ByteCount(SubsectionOverhead);
        while (NextProperty(ref reader))
        {
            if (reader.ValueTextEquals("vmsd_name"u8))
            {
                Expect(ref reader, JsonTokenType.String);
                total += new ByteCount(System.Text.Encoding.UTF8.GetByteCount(reader.GetString()!));
            }
            else
            {
                ReadContent(ref reader, ref total);
            }
        }

        return total;
    }

    private static ByteCount ReadSize(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.Number);
        return reader.TryGetInt64(out var value) && value >= 0 ? new ByteCount(value) : ByteCount.Absurd;
    }

    private static uint ReadInstance(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.Number);
        return reader.TryGetInt64(out var value) && value is >= int.MinValue and <= uint.MaxValue
            ? unchecked((uint)value)
            : throw new JsonException("an instance does not fit into 32 bits");
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type)
    {
        if (!reader.Read() || reader.TokenType != type)
        {
            throw new JsonException($"{reader.TokenType} instead of {type}");
        }
    }

    /// <summary>Moves to the next property's name; false at the end of the object.</summary>
    private static bool NextProperty(ref Utf8JsonReader reader)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.PropertyName;
    }

    /// <summary>Moves into the next object of an array; false at the end of the array.</summary>
    private static bool NextElement(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType == JsonTokenType.EndArray)
        {
            return false;
        }

        return reader.TokenType == JsonTokenType.StartObject ? true : throw new JsonException("an array holds something else than objects");
    }

    /// <summary>A sum that does not wrap around: once too large or negative, it stays without a value.</summary>
    private readonly struct ByteCount(long value)
    {
        public static ByteCount Absurd => new(-1);

        public long? Value => value < 0 ? null : value;

        public static ByteCount operator +(ByteCount left, ByteCount right) =>
            left.Value is { } a && right.Value is { } b && a <= long.MaxValue - b ? new ByteCount(a + b) : Absurd;

        public static ByteCount operator *(ByteCount left, ByteCount right) =>
            left.Value is { } a && right.Value is { } b && (UInt128)(ulong)a * (ulong)b <= long.MaxValue ? new ByteCount(a * b) : Absurd;
    }
}
