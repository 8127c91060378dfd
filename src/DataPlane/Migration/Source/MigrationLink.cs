using DataPlane.MainStream;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// The connections on which a source says who it is and hands its guest over: main with its return path, and preempt. A link is made when
/// main is connected, and a recovery replaces it as a whole. The multifd channels, which carry nothing but pages, are not part of it.
/// </summary>
/// <param name="main">The main channel.</param>
/// <param name="channels">Main and preempt, by the numbers below.</param>
/// <param name="returnPath">Reads what the destination sends; the result is the value of SHUT.</param>
/// <param name="listensSince">When <paramref name="returnPath"/> has begun, as a timestamp of the clock.</param>
internal sealed class MigrationLink(Channel main, ChannelSet channels, Task<uint> returnPath, long listensSince)
{
    public const int MainNumber = 0;
    public const int PreemptNumber = 1;

    public Channel Main => main;

    /// <summary>Writes what is not pages to <see cref="Main"/>.</summary>
    public MainStreamWriter Writer { get; } = new(main.Output, main.Name);

    public Task<uint> ReturnPath => returnPath;

    public long ListensSince => listensSince;

    /// <summary>The preempt channel; null if there is none, or none yet.</summary>
    public Channel? Preempt => channels[PreemptNumber];

    /// <summary>Makes the set to which the channels of a link are added as they are connected.</summary>
    public static ChannelSet NewSet() => new(capacity: 2);

    /// <summary>Aborts main and preempt; <paramref name="cause"/> is what everybody is told who uses them.</summary>
    public void Abort(ChannelException? cause = null) => channels.Abort(cause);
}
