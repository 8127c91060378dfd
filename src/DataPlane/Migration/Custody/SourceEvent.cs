namespace DataPlane.Migration.Custody;

/// <summary>What a source learns or does that may decide who has the guest.</summary>
internal enum SourceEvent
{
    /// <summary>
    /// The host cancels the migration, or something fails beside the thread that hands the guest over. It comes too late once the guest has
    /// begun to leave.
    /// </summary>
    CalledOff,

    /// <summary>Precopy: the last byte of the stream, without which no destination can finish, is about to be sent.</summary>
    LastByteBegins,

    /// <summary>Precopy: the kernel has taken the last byte.</summary>
    LastByteSent,

    /// <summary>Postcopy: the first byte of PACKAGED is about to be sent.</summary>
    PackageBegins,

    /// <summary>Postcopy: PONG(0x42) has come, so the destination has loaded the devices.</summary>
    DevicesLoaded,

    /// <summary>Postcopy: the end of the stream has been sent, so every page has left.</summary>
    EverythingSent,

    /// <summary>Postcopy: after a lost link the destination has reported which pages it holds, so it runs the guest.</summary>
    BitmapReceived,

    /// <summary>A connection failed or ended without SHUT, a time limit ran out, or this host failed.</summary>
    Failed,

    /// <summary>SHUT(0) has come.</summary>
    ShutWithSuccess,

    /// <summary>SHUT with any other value has come.</summary>
    ShutWithFailure,
}
