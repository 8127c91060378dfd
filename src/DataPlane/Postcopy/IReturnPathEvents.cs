using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>What a source in postcopy hears. Called on the thread that reads the return path, one at a time.</summary>
internal interface IReturnPathEvents
{
    void OnPong(uint value);

    /// <summary>The destination says that the guest runs there.</summary>
    void OnVmStarted();

    /// <summary>Whole host pages inside the block, at least one.</summary>
    void OnRequest(RamBlock block, long firstPage, long pages);

    /// <summary>After a lost link: the pages of the block that the destination holds. False when nobody asked for it.</summary>
    bool OnReceivedBitmap(RamBlock block, PageBitmap received);

    /// <summary>After a lost link: the destination goes on. False when nobody asked it to.</summary>
    bool OnResumeAck(uint value);
}
