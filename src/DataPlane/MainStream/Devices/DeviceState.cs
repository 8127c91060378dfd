namespace DataPlane.MainStream.Devices;

/// <summary>
/// The state of a VM's devices as it travels after the RAM: opaque bytes, kept exactly as the source sent them, plus the table of
/// contents that the source's description gives. Immutable and safe for use by several threads.
/// </summary>
/// <remarks>
/// A VM that is not QEMU's puts its state into one section with <see cref="Wrap"/> and gets it back with <see cref="Unwrap"/>.
/// </remarks>
public sealed partial class DeviceState
{
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
    /// The state from the package of postcopy, which has no description: one is made from what can be told of the sections, so that a saved
    /// copy can be read
    /// like any other.
    /// </summary>
    internal static DeviceState FromPackage(ReadOnlyMemory<byte> earlySections, ReadOnlyMemory<byte> sections) =>
        DeviceSectionWalk.TryByFooters(sections.Span, out var devices)
            ? new DeviceState(earlySections, sections, DeviceDescription.Write(devices), devices)
            : new DeviceState(earlySections, sections, "{}"u8.ToArray(), []);

    /// <summary>
    /// Whole sections that the source sent before the end of RAM (virtio-mem); they are replayed before RAM. Mostly empty.
    /// </summary>
    public ReadOnlyMemory<byte> EarlySections { get; }

    /// <summary>All device sections after the RAM, each with its header and footer, as sent.</summary>
    public ReadOnlyMemory<byte> Sections { get; }

    /// <summary>The source's description of the sections, JSON text; at least <c>{}</c>.</summary>
    public ReadOnlyMemory<byte> Description { get; }

    /// <summary>The contents of <see cref="Sections"/> in their order; empty if the description names no device.</summary>
    public IReadOnlyList<DeviceSection> Devices { get; }

    /// <summary>
    /// Whether the guest runs after a QEMU loads this state: <c>running</c>, <c>paused</c> or another of QEMU's run states; null if the
    /// state does not say.
    /// </summary>
    public string? RunState => FindGlobalState() is { } device ? GlobalState.Read(Body(device).Span) : null;

    /// <summary>A copy in which the guest is <c>running</c> or <c>paused</c> after loading.</summary>
    /// <param name="runState"><c>running</c> or <c>paused</c>.</param>
    /// <exception cref="ArgumentException"><paramref name="runState"/> is another one.</exception>
    /// <exception cref="InvalidOperationException">
    /// The state has no run state, or one that must not be changed (such as suspended).
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
}
