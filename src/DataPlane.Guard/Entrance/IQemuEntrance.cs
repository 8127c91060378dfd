using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Entrance;

/// <summary>
/// How the QEMU behind the guard gets its connections. Whoever judges channels, tells QEMU of a loss, or decides what an end means knows
/// each channel as a <see cref="ChannelRelay"/>, and does not know by which way QEMU was given it.
/// </summary>
internal interface IQemuEntrance : IDisposable
{
    /// <summary>Gives QEMU a held channel as its next connection.</summary>
    /// <param name="held">The channel, whose client has proved itself.</param>
    /// <param name="opening">The bytes that were read from the client, and that QEMU gets first.</param>
    /// <param name="watch">What sees the channel's bytes and its loss; null for nothing.</param>
    /// <param name="isRecovery">Whether QEMU is paused and must listen again.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="Transport.ChannelException">QEMU cannot be reached, or does not take the bytes.</exception>
    Task EnterAsync(
        ChannelRelay held, ReadOnlyMemory<byte> opening, RelayWatch? watch, bool isRecovery, CancellationToken cancellationToken);

    /// <summary>Gives QEMU a preempt channel that has no client yet as its next connection.</summary>
    /// <exception cref="Transport.ChannelException">QEMU cannot be reached.</exception>
    Task<ChannelRelay> ReservePreemptAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Gives QEMU a TLS session on trial as its next connection, and completes when the handshake is over in whatever way. QEMU keeps only
    /// a session that <see cref="Keep"/> is called with.
    /// </summary>
    /// <param name="held">The session.</param>
    /// <param name="hello">The session's whole ClientHello.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="Transport.ChannelException">QEMU cannot be reached, or does not take the bytes.</exception>
    Task<TlsIntroduced> IntroduceAsync(ChannelRelay held, ReadOnlyMemory<byte> hello, CancellationToken cancellationToken);

    /// <summary>
    /// Lets QEMU keep a session that has come through its handshake, and takes over what <paramref name="session"/> owns.
    /// </summary>
    void Keep(TlsIntroduced session, RelayWatch? watch);
}
