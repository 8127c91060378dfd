using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>A migration has failed. Says what happened, on which channel, in which phase.</summary>
/// <remarks>
/// The guest is where it was before, at its source, unless <see cref="Reason"/> is <see cref="FailureReason.OutcomeUnknown"/>, or
/// <see cref="Phase"/> is
/// <see cref="MigrationPhase.Completed"/>: then it is at the destination, whose host could not start it.
/// </remarks>
public sealed class MigrationException : Exception
{
    /// <summary>Creates the exception; the message is completed with channel and phase.</summary>
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

    internal static MigrationException From(Exception cause, MigrationPhase phase) => cause switch
    {
        MigrationException known => known,
        ChannelException channel => new(channel.Reason, phase, channel.Channel, channel.Message, channel),
        _ => new(FailureReason.HostFailed, phase, channel: null, cause.Message, cause),
    };

    private static string Describe(MigrationPhase phase, string? channel, string message) =>
        channel is null ? $"{message} (phase {Name(phase)})" : $"{message} (channel {channel}, phase {Name(phase)})";

    private static string Name(MigrationPhase phase) => phase switch
    {
        MigrationPhase.DeviceState => "device state",
        _ => phase.ToString().ToLowerInvariant(),
    };
}
