using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>The channels that a destination has taken so far, those of recoveries included. Thread-safe.</summary>
/// <param name="multifdChannels">The number of multifd channels that are expected.</param>
internal sealed class DestinationChannels(int multifdChannels)
{
    private readonly Lock _gate = new();
    private readonly List<AdmittedChannel> _channels = []; // guarded by _gate
    private readonly TaskCompletionSource<Channel> _main = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _allThere = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes with the first main channel.</summary>
    public Task<Channel> Main => _main.Task;

    /// <summary>Completes when main and all multifd channels are there. Preempt is never waited for.</summary>
    public Task AllThere => _allThere.Task;

    /// <summary>The number of bytes that have come on all channels.</summary>
    public long ReceivedBytes => All().Sum(static one => one.Channel.BytesReceived);

    /// <summary>The address and port of the peer that main came from, or the first channel if there is no main.</summary>
    public string Peer => All() is { Length: > 0 } all
        ? (all.FirstOrDefault(static one => one.Kind == ChannelKind.Main) ?? all[0]).Peer : "nobody";

    /// <summary>Adds a channel.</summary>
    public void Add(AdmittedChannel admitted)
    {
        lock (_gate)
        {
            _channels.Add(admitted);
        }

        if (Missing().Count == 0)
        {
            _allThere.TrySetResult();
        }

        if (admitted.Kind == ChannelKind.Main)
        {
            _main.TrySetResult(admitted.Channel);
        }
    }

    /// <summary>Returns the channels that there are now.</summary>
    public AdmittedChannel[] All()
    {
        lock (_gate)
        {
            return [.. _channels];
        }
    }

    /// <summary>Returns the channels of one kind that there are now.</summary>
    public IEnumerable<AdmittedChannel> OfKind(ChannelKind kind) => All().Where(one => one.Kind == kind);

    /// <summary>Returns which of the expected channels are not there yet, main first.</summary>
    public List<ChannelId> Missing()
    {
        var all = All();
        List<ChannelId> missing = [];
        if (!all.Any(static one => one.Kind == ChannelKind.Main))
        {
            missing.Add(ChannelId.Main);
        }

        missing.AddRange(Enumerable.Range(0, multifdChannels)
            .Where(id => !all.Any(one => one.Kind == ChannelKind.Multifd && one.Id == id))
            .Select(static id => ChannelId.Multifd(id)));
        return missing;
    }

    /// <summary>Describes, for people, the channels that are not there yet; null if none is missing.</summary>
    public string? DescribeMissing() => AwaitedChannels.Describe(All(), multifdChannels);
}
