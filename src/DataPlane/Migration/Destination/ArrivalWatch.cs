using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>Ends a migration in which nothing arrives, and says what is missing.</summary>
/// <param name="options">The limit.</param>
/// <param name="channels">The channels on which something should arrive.</param>
/// <param name="work">Says whether the own host works meanwhile.</param>
/// <param name="failure">Takes the failure.</param>
internal sealed class ArrivalWatch(
    MigrationDestinationOptions options, DestinationChannels channels, HostWork work, FirstCause failure)
{
    private long _idleLooks = long.MinValue; // used by the watch alone, which looks once at a time

    /// <summary>Watches until the result is disposed of. Returns null when there is no limit.</summary>
    public StallWatch? Start(TimeProvider time) => StallWatch.Start(time, options.EffectiveStallTimeout, Count, OnStall);

    private long Count()
    {
        var all = channels.All();
        if (all.Length == 0 && options.StallTimeout is null)
        {
            return _idleLooks++; // by default the first channel is awaited without a limit
        }

        return work.Count(all.Length + all.Sum(static one => one.Channel.BytesReceived));
    }

    private void OnStall()
    {
        var limit = $"the time limit of {options.EffectiveStallTimeout!.Value.TotalSeconds:0.###} s";
        var missing = channels.Missing();
        failure.Record(missing.Count == 0
            ? new ChannelException(FailureReason.Stalled, ChannelId.Main, $"nothing arrived within {limit}")
            : new ChannelException(FailureReason.Stalled, missing[0], $"still missing after {limit}: {string.Join(", ", missing)}"));
    }
}
