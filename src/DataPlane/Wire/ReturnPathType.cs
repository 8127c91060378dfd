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
}
