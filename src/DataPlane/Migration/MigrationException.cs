using DataPlane.Transport;

namespace DataPlane;

/// <summary>Thrown when a migration has failed. It carries what happened, on which channel and in which phase.</summary>
/// <remarks><see cref="Owner"/> tells where the guest is.</remarks>
public sealed class MigrationException : Exception
{
    /// <summary>
    /// Creates the exception, with <see cref="GuestOwner.Source"/> as its <see cref="Owner"/>; channel and phase are appended to the
    /// message.
    /// </summary>
    public MigrationException(FailureReason reason, MigrationPhase phase, string? channel, string message, Exception? innerException = null)
        : base(Describe(phase, channel, message), innerException)
    {
        Reason = reason;
        Phase = phase;
        Channel = channel;
    }

    /// <summary>The kind of failure.</summary>
    public FailureReason Reason { get; }

    /// <summary>The phase in which the first cause occurred.</summary>
    public MigrationPhase Phase { get; }

    /// <summary>The channel it occurred on, such as <c>main</c> or <c>multifd 3</c>; null when it has none.</summary>
    public string? Channel { get; }

    /// <summary>
    /// Who has the guest. Mostly <see cref="GuestOwner.Source"/>, where it runs on; <see cref="GuestOwner.Destination"/> if the guest has
    /// arrived and only its memory or its start has failed; <see cref="GuestOwner.Unknown"/> if only the other side can tell.
    /// </summary>
    public GuestOwner Owner { get; internal init; }

    /// <summary>
    /// Describes <paramref name="cause"/> as a migration's failure; a <see cref="MigrationException"/> is returned as it is.
    /// </summary>
    internal static MigrationException From(Exception cause, MigrationPhase phase, GuestOwner owner) => cause switch
    {
        MigrationException known => known,
        ChannelException channel => new(channel.Reason, phase, channel.Channel, channel.Message, channel) { Owner = owner },
        _ => new(FailureReason.HostFailed, phase, channel: null, cause.Message, cause) { Owner = owner },
    };

    private static string Describe(MigrationPhase phase, string? channel, string message) =>
        channel is null ? $"{message} (phase {Name(phase)})" : $"{message} (channel {channel}, phase {Name(phase)})";

    private static string Name(MigrationPhase phase) => phase switch
    {
        MigrationPhase.DeviceState => "device state",
        _ => phase.ToString().ToLowerInvariant(),
    };
}
