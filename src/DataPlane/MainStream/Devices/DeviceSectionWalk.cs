using System.Buffers;
using System.Globalization;
using System.Text;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>
/// Divides the bytes between RAM and the VM description into the sections that the description lists. Every section must be there with its
/// name, instance and footer, and nothing may be left over.
/// </summary>
internal static class DeviceSectionWalk
{
    /// <summary>Divides the bytes by the sizes that the description gives.</summary>
    public static bool TryBySizes(
        ReadOnlySpan<byte> bytes, IEnumerable<VmDescriptionDevice> devices, out IReadOnlyList<DeviceSection> sections, out string? error)
    {
        var found = new List<DeviceSection>();
        sections = found;
        var position = 0;
        foreach (var device in devices)
        {
            if (!TryReadHeader(bytes[position..], device, out var header, out var headerSize, out error))
            {
                return false;
            }

            var body = position + headerSize;
            var room = bytes.Length - body - SectionFooter.Size;
            if (device.BodySize is not { } size || size > room)
            {
                var described = device.BodySize?.ToString(CultureInfo.InvariantCulture) ?? "no sensible number of";
                error = $"device {Label(device)} is described with {described} bytes, {Math.Max(room, 0)} are left";
                return false;
            }

            if (!SectionFooter.TryRead(bytes[(body + (int)size)..], header.Id, out _))
            {
                error = $"device {Label(device)} does not end after the {size} bytes of its description";
                return false;
            }

            found.Add(new DeviceSection(device.Name, device.Instance, header.Version, body, (int)size));
            position = body + (int)size + SectionFooter.Size;
        }

        return CheckEnd(bytes.Length - position, found, out error);
    }

    /// <summary>
    /// Divides the bytes by the names alone: a section ends at its first footer that is followed by the header of the next section. This is
    /// for descriptions with wrong sizes (QEMU before 10.0 miscounts arrays of pointers with gaps).
    /// </summary>
    public static bool TryByNames(
        ReadOnlySpan<byte> bytes, IReadOnlyList<VmDescriptionDevice> devices, out IReadOnlyList<DeviceSection> sections, out string? error)
    {
        var found = new List<DeviceSection>();
        sections = found;
        var position = 0;
        for (var i = 0; i < devices.Count; i++)
        {
            var device = devices[i];
            if (!TryReadHeader(bytes[position..], device, out var header, out var headerSize, out error))
            {
                return false;
            }

            var body = position + headerSize;
            var isLast = i == devices.Count - 1;
            var length = isLast ? LastBody(bytes[body..], header.Id) : BodyBefore(bytes[body..], header.Id, devices[i + 1]);
            if (length < 0)
            {
                error = $"the end of device {Label(device)} cannot be found";
                return false;
            }

            found.Add(new DeviceSection(device.Name, device.Instance, header.Version, body, length));
            position = body + length + SectionFooter.Size;
        }

        return CheckEnd(bytes.Length - position, found, out error);
    }

    private static bool TryReadHeader(
        ReadOnlySpan<byte> bytes, VmDescriptionDevice device, out SectionHeader header, out int size, out string? error)
    {
        error = null;
        if (SectionHeader.Parse(bytes, out header, out size, out _) == OperationStatus.Done && IsHeaderOf(header, device))
        {
            return true;
        }

        error = header.Name.IsEmpty
            ? $"there is no section of device {Label(device)}"
            : $"section {WireName.Quote(header.Name)} stands where device {Label(device)} should";
        return false;
    }

    private static bool IsHeaderOf(SectionHeader header, VmDescriptionDevice device) =>
        header.Type == SectionType.Full && header.Instance == device.Instance && IsName(header.Name, device.Name);

    private static bool IsName(ReadOnlySpan<byte> utf8, string name)
    {
        Span<byte> expected = stackalloc byte[WireLimits.MaxNameLength];
        return Encoding.UTF8.TryGetBytes(name, expected, out var length) && utf8.SequenceEqual(expected[..length]);
    }

    private static int LastBody(ReadOnlySpan<byte> bytes, uint id)
    {
        var length = bytes.Length - SectionFooter.Size;
        return length >= 0 && SectionFooter.TryRead(bytes[length..], id, out _) ? length : -1;
    }

    private static int BodyBefore(ReadOnlySpan<byte> bytes, uint id, VmDescriptionDevice next)
    {
        Span<byte> footer = stackalloc byte[SectionFooter.Size + 1];
        SectionFooter.Write(footer, id);
        footer[SectionFooter.Size] = (byte)SectionType.Full;
        var position = 0;
        while (bytes[position..].IndexOf(footer) is var distance && distance >= 0)
        {
            position += distance;
            var behind = bytes[(position + SectionFooter.Size)..];
            if (SectionHeader.Parse(behind, out var header, out _, out _) == OperationStatus.Done && IsHeaderOf(header, next))
            {
                return position;
            }

            position++;
        }

        return -1;
    }

    private static bool CheckEnd(int left, List<DeviceSection> found, out string? error)
    {
        error = left == 0 ? null
            : found.Count == 0 ? $"the VM description names no device, but there are {left} bytes of device state"
            : $"{left} bytes follow device '{found[^1].Name}', the last one of the VM description";
        return left == 0;
    }

    private static string Label(VmDescriptionDevice device) =>
        $"{WireName.Quote(Encoding.UTF8.GetBytes(device.Name))} (instance {device.Instance})";
}
