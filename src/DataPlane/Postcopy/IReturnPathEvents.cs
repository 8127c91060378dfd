namespace DataPlane.Postcopy;

/// <summary>
/// Receives the messages of the return path at a source. Called on the thread that reads the return path, one call at a time.
/// </summary>
internal interface IReturnPathEvents
{
    /// <summary>A PONG with <paramref name="value"/> has come.</summary>
    void OnPong(uint value);

    /// <summary>The destination has reported that the guest runs there.</summary>
    void OnVmStarted();

    /// <summary>The destination requests pages: whole host pages inside <paramref name="block"/>, at least one.</summary>
    void OnRequest(RamBlock block, long firstPage, long pages);

    /// <summary>
    /// The destination has reported, after a lost link, which pages of <paramref name="block"/> it holds. Returns false if it was not asked
    /// to.
    /// </summary>
    bool OnReceivedBitmap(RamBlock block, PageBitmap received);

    /// <summary>The destination has acknowledged the recovery after a lost link. Returns false if it was not asked to.</summary>
    bool OnResumeAck(uint value);
}
