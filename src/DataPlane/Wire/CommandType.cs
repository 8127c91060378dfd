namespace DataPlane.Wire;

/// <summary>Commands from source to destination inside the main stream (specification, 2-main-stream section 3).</summary>
internal enum CommandType : ushort
{
    OpenReturnPath = 1,
    Ping = 2,
    PostcopyAdvise = 3,
    PostcopyListen = 4,
    PostcopyRun = 5,
    PostcopyRamDiscard = 6,
    Packaged = 7,
    EnableColo = 8,
    PostcopyResume = 9,
    ReceivedBitmap = 10,
    SwitchoverStart = 11,
}
