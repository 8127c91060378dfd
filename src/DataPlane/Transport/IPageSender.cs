using DataPlane.Memory;

namespace DataPlane.Transport;

/// <summary>Sends whole rounds of pages: over the multifd channels, or over the main channel where there are none.</summary>
internal interface IPageSender
{
    /// <summary>Pages sent with their bytes so far.</summary>
    long NormalPages { get; }

    /// <summary>Pages sent as zero pages so far.</summary>
    long ZeroPages { get; }

    /// <summary>
    /// Sends every page of <paramref name="feed"/>. When the task completes, all bytes have been handed to the sockets, so guest memory may
    /// be read again for the next round. When the channels are ended (<see cref="Channel.Abort"/>), the task fails with a
    /// <see cref="ChannelException"/>.
    /// </summary>
    Task SendRoundAsync(PageFeed feed);

    /// <summary>
    /// Ends the threads; the task completes when they have finished what they are doing. Channels that may be blocked must be aborted
    /// first.
    /// </summary>
    Task StopAsync();
}
