using System.Text;
using DataPlane.MainStream.Devices;
using DataPlane.Wire;

namespace DataPlane;

/// <summary>
/// The state of a VM's devices, which is sent after the RAM. Its bytes are opaque and kept exactly as the source sent them, together with
/// the table of contents from the source's description. Immutable and thread-safe.
/// </summary>
/// <remarks>
/// The state of a VM that is not QEMU's is put into one section with <see cref="Wrap"/>, and <see cref="Unwrap"/> returns it.
/// </remarks>
public sealed class DeviceState
{
    private const uint WrappedVersion = 1;

    internal DeviceState(
        ReadOnlyMemory<byte> earlySections, ReadOnlyMemory<byte> sections, ReadOnlyMemory<byte> description,
        IReadOnlyList<DeviceSection> devices)
    {
        EarlySections = earlySections;
        Sections = sections;
        Description = description;
        Devices = devices;
    }

    /// <summary>
    /// Creates the state from the package of postcopy. Since the package has no description, one is made from what the sections show, so
    /// that a saved copy can be read like any other.
    /// </summary>
    internal static DeviceState FromPackage(ReadOnlyMemory<byte> earlySections, ReadOnlyMemory<byte> sections) =>
        DeviceFooterWalk.TryByFooters(sections.Span, out var devices)
            ? new DeviceState(earlySections, sections, DeviceDescription.Write(devices), devices)
            : new DeviceState(earlySections, sections, "{}"u8.ToArray(), []);

    /// <summary>
    /// Whole sections that the source sent before the end of RAM (virtio-mem). They are replayed before the RAM. Usually there are none.
    /// </summary>
    public ReadOnlyMemory<byte> EarlySections { get; }

    /// <summary>All device sections after the RAM, each with its header and footer, as the source sent them.</summary>
    public ReadOnlyMemory<byte> Sections { get; }

    /// <summary>The source's description of the sections as JSON text, which is at least <c>{}</c>.</summary>
    public ReadOnlyMemory<byte> Description { get; }

    /// <summary>The contents of <see cref="Sections"/> in their order; empty if the description names no device.</summary>
    public IReadOnlyList<DeviceSection> Devices { get; }

    /// <summary>
    /// The run state that the guest has after QEMU has loaded this device state: <c>running</c>, <c>paused</c> or another of QEMU's run
    /// states; null if the device state does not contain it.
    /// </summary>
    public string? RunState => FindGlobalState() is { } device ? GlobalState.Read(Body(device).Span) : null;

    /// <summary>Returns a copy with which the guest is <c>running</c> or <c>paused</c> after loading.</summary>
    /// <param name="runState"><c>running</c> or <c>paused</c>.</param>
    /// <exception cref="ArgumentException"><paramref name="runState"/> is neither of the two.</exception>
    /// <exception cref="InvalidOperationException">
    /// The device state has no run state, or one that must not be changed (such as suspended).
    /// </exception>
    public DeviceState WithRunState(string runState)
    {
        if (!GlobalState.CanChange(runState))
        {
            throw new ArgumentException($"A guest can be made running or paused, not '{runState}'.", nameof(runState));
        }

        if (FindGlobalState() is not { } device || RunState is not { } current || !GlobalState.CanChange(current))
        {
            throw new InvalidOperationException($"The run state '{RunState ?? "unknown"}' of this guest cannot be changed.");
        }

        var sections = Sections.ToArray();
        GlobalState.Write(sections.AsSpan(device.Offset, device.Length), runState);
        return new DeviceState(EarlySections, sections, Description, Devices);
    }

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

    private ReadOnlyMemory<byte> Body(DeviceSection device) => Sections.Slice(device.Offset, device.Length);

    private DeviceSection? FindGlobalState() => Find(GlobalState.DeviceName);

    private DeviceSection? Find(string name)
    {
        foreach (var device in Devices)
        {
            if (device.Name == name && device.Instance == 0)
            {
                return device;
            }
        }

        return null;
    }

    private static byte[] Describe(string name, int size) => DeviceDescription.Write([new DeviceSection(name, 0, WrappedVersion, 0, size)]);
}

/// <summary>Where the state of one device lies in <see cref="DeviceState.Sections"/>.</summary>
/// <param name="Name">Name of the device; for a PCI device it includes the path, as in <c>0000:00:1f.2/ich9_ahci</c>.</param>
/// <param name="Instance">Number that distinguishes devices of the same name.</param>
/// <param name="Version">Version of the device's own format.</param>
/// <param name="Offset">Offset of the first byte of the body, which follows the section's header.</param>
/// <param name="Length">Length of the body in bytes, without the section's footer.</param>
public readonly record struct DeviceSection(string Name, uint Instance, uint Version, int Offset, int Length);
