using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Session;

/// <summary>
/// What becomes of the channels that are admitted: <see cref="PlainChannels"/> where the guard can see which channel each one is,
/// <see cref="TlsChannels"/> where TLS that ends in QEMU hides it. Only the session's loop uses it.
/// </summary>
internal interface IMigrationChannels
{
    /// <summary>Whether no channel is on its way to QEMU.</summary>
    bool IsIdle { get; }

    /// <summary>Takes an admitted channel. Returns false when there is no use for it; the caller then closes it.</summary>
    ValueTask<bool> AdmitAsync(AdmittedChannel channel, CancellationToken cancellationToken);

    /// <summary>
    /// Gives up what the latest channel was for, because the guard had no descriptor, memory or thread to serve it, or has a fault.
    /// </summary>
    ValueTask GiveUpAsync();

    /// <summary>Takes an event that these channels have posted themselves.</summary>
    ValueTask TakeAsync(GuardEvent own);

    /// <summary>Decides what the end of a channel means.</summary>
    ValueTask TakeEndAsync(ChannelRelay relay);

    /// <summary>Takes a status of QEMU's migration. Returns whether that was all there is to do.</summary>
    ValueTask<bool> TakeStatusAsync(string status);

    /// <summary>Drops the channels that wait, because the migration is over.</summary>
    void DropWaiting();
}
