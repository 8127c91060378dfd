namespace DataPlane.Postcopy;

/// <summary>What sends the memory over one link: the records of each channel, and the source that decides which page goes where.</summary>
/// <param name="source">Sends on <paramref name="channels"/>.</param>
/// <param name="channels">The channels of the link; disposed of with this object.</param>
internal sealed class SenderLink(PostcopySource source, PostcopyChannels channels) : IDisposable
{
    private Task? _everythingSent; // used by the migration's own flow alone; null before it has begun

    public PostcopySource Source => source;

    /// <summary>Whether the end of the stream has left.</summary>
    public bool HasSentEverything => _everythingSent is { IsCompletedSuccessfully: true };

    /// <summary>What has been sent on this link so far. Any thread may read it.</summary>
    public SenderTotals Totals => new(
        channels.Main.NormalPages + (channels.Preempt?.NormalPages ?? 0),
        channels.Main.ZeroPages + (channels.Preempt?.ZeroPages ?? 0),
        source.Requests,
        source.RequestedPages);

    /// <summary>Starts to send all of the memory. The task ends when the end of the stream has left.</summary>
    public Task Follow() => _everythingSent = source.Start();

    /// <summary>Stops sending and waits for the end of it. The channels must have been aborted before.</summary>
    public async Task StopAsync()
    {
        source.Stop();
        await (_everythingSent ?? Task.CompletedTask).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose()
    {
        channels.Main.Dispose();
        channels.Preempt?.Dispose();
    }
}
