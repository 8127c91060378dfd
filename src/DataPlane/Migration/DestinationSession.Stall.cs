using DataPlane.Admission;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>How a session notices that nothing moves, and what it reports then.</summary>
internal sealed partial class DestinationSession
{
    private readonly HostWork _work = new();
    private long _idleLooks = long.MinValue;

    private long ProgressCount()
    {
        var admitted = Admitted();
        if (admitted.Length == 0 && _options.StallTimeout is null)
        {
            return _idleLooks++; // by default the first channel is awaited without a limit
        }

        return _work.Count(admitted.Length + admitted.Sum(static one => one.Channel.BytesReceived));
    }

    private void OnStall()
    {
        var limit = $"the time limit of {_options.EffectiveStallTimeout!.Value.TotalSeconds:0.###} s";
        var missing = MissingChannels();
        _failure.Record(missing.Count == 0
            ? new ChannelException(FailureReason.Stalled, ChannelId.Main, $"nothing arrived within {limit}")
            : new ChannelException(FailureReason.Stalled, missing[0], $"still missing after {limit}: {string.Join(", ", missing)}"));
    }

    private List<ChannelId> MissingChannels()
    {
        var admitted = Admitted();
        List<ChannelId> missing = [];
        if (!admitted.Any(static one => one.Kind == ChannelKind.Main))
        {
            missing.Add(ChannelId.Main);
        }

        missing.AddRange(Enumerable.Range(0, _options.MultifdChannels)
            .Where(id => !admitted.Any(one => one.Kind == ChannelKind.Multifd && one.Id == id))
            .Select(static id => ChannelId.Multifd(id)));
        return missing;
    }
}
