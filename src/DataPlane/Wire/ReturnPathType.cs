namespace DataPlane.Wire;

/// <summary>Messages from destination to source on the main channel's other direction.</summary>
internal enum ReturnPathType : ushort
{
    Shut = 1,
    Pong = 2,
    RequestPagesWithName = 3,
    RequestPages = 4,
    ReceivedBitmap = 5,
    ResumeAck = 6,
    SwitchoverAck = 7,

    /// <summary>
    /// The guest runs at the destination: proposed for QEMU, in none up to 11.1. It changes nothing of who has the guest, and its contents,
    /// if it has any, are of no interest.
    /// </summary>
    VmStarted = 8,
}
