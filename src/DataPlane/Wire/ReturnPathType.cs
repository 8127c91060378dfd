namespace DataPlane.Wire;

/// <summary>Messages from destination to source on the main channel's other direction (specification, 2-main-stream section 4).</summary>
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
    /// The guest runs at the destination. The message is proposed for QEMU and sent by no version up to 11.1. It does not change who has
    /// the guest, and its contents, if it has any, are ignored.
    /// </summary>
    VmStarted = 8,
}
