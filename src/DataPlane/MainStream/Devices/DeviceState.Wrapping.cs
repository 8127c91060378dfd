using System.Text;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <content>Device state in one section, for a VM whose devices are not QEMU's.</content>
public sealed partial class DeviceState
{
    private const uint WrappedVersion = 1;

    /// <summary>Puts a VM's own device state into one section, and describes it so that any receiver can tell where it ends.</summary>
    /// <param name="name">
    /// Name of the section: 1 to 255 bytes of UTF-8 without control characters. QEMU would look for a device of this name.
    /// </param>
    /// <param name="body">The state, which is copied.</param>
    /// <exception cref="ArgumentException"><paramref name="name"/> is not a name of this kind.</exception>
    public static DeviceState Wrap(string name, ReadOnlyMemory<byte> body)
    {
        ArgumentNullException.ThrowIfNull(name);
        var utf8Name = Encoding.UTF8.GetBytes(name);
        if (utf8Name.Length > WireLimits.MaxNameLength || !WireName.TryDecode(utf8Name, out _))
        {
            throw new ArgumentException($"A section's name is text of 1 to {WireLimits.MaxNameLength} bytes.", nameof(name));
        }

        var header = new byte[SectionHeader.MaxSize];
        var headerSize = SectionHeader.Write(header, SectionType.Full, id: 0, utf8Name, instance: 0, WrappedVersion);
        var sections = new byte[checked(headerSize + body.Length + SectionFooter.Size)];
        header.AsSpan(0, headerSize).CopyTo(sections);
        body.Span.CopyTo(sections.AsSpan(headerSize));
        SectionFooter.Write(sections.AsSpan(headerSize + body.Length), id: 0);
        return new DeviceState(
            default, sections, Describe(name, body.Length), [new DeviceSection(name, 0, WrappedVersion, headerSize, body.Length)]);
    }

    /// <summary>Returns the body of the section <paramref name="name"/> with instance 0, without copying it.</summary>
    /// <exception cref="KeyNotFoundException">There is no such section.</exception>
    public ReadOnlyMemory<byte> Unwrap(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Find(name) is { } device
            ? Body(device)
            : throw new KeyNotFoundException($"The device state has no section '{name}' among its {Devices.Count} sections.");
    }

    private static byte[] Describe(string name, int size) => DeviceDescription.Write([new DeviceSection(name, 0, WrappedVersion, 0, size)]);
}
