using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration.Destination;

/// <summary>
/// What a source says of its VM: the configuration section of main, and the UUID there or on the multifd channels. Used by the flow of
/// control that reads main, and after it.
/// </summary>
/// <param name="expected">The UUID that the VM must have; null if it may have any.</param>
/// <param name="admission">Knows the UUID of the multifd channels.</param>
internal sealed class SourceIdentity(Guid? expected, ChannelAdmission admission)
{
    private ConfigurationSection? _configuration;

    /// <summary>The configuration section.</summary>
    /// <exception cref="InvalidOperationException">It has not come yet.</exception>
    public ConfigurationSection Configuration =>
        _configuration ?? throw new InvalidOperationException("the source has not sent its configuration yet");

    /// <summary>The VM's UUID; null if the source has not told it.</summary>
    public Guid? Uuid => _configuration?.Uuid ?? admission.Uuid;

    /// <summary>
    /// What the machine type in the stream proves about the source: a program is at least as new as its machine type. Where a mistake costs
    /// the guest, nobody's word counts.
    /// </summary>
    public QemuCompatibility Announced => QemuCompatibility.Of(Configuration.MachineName, told: null);

    /// <summary>Whether the source has told another UUID than the expected one.</summary>
    public bool IsOfAnotherVm { get; private set; }

    /// <summary>Takes the configuration section.</summary>
    /// <exception cref="ChannelException">Its UUID is not the expected one.</exception>
    public void Take(ConfigurationSection configuration)
    {
        _configuration = configuration;
        CheckUuid();
    }

    /// <summary>
    /// Checks the UUID of the configuration section (capability validate-uuid) against the expected one or that of the multifd channels,
    /// which come before the section, after it, or both.
    /// </summary>
    /// <exception cref="ChannelException">They differ.</exception>
    public void CheckUuid()
    {
        if (_configuration?.Uuid is { } said && (expected ?? admission.Uuid) is { } wanted && said != wanted)
        {
            IsOfAnotherVm = expected is not null; // without an expected UUID it differs only from one that a stranger may have sent
            throw ChannelException.Violation(
                ChannelId.Main, $"the source's VM has UUID {said}, "
                + (expected is null ? $"but its multifd channels carry {wanted}" : $"expected is {wanted}"));
        }
    }
}
