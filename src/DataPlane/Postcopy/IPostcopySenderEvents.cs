namespace DataPlane.Postcopy;

/// <summary>
/// Receives what a <see cref="PostcopySender"/> learns and the migration above it must know, above all what decides who has the guest.
/// Called on the thread that reads the return path, except for <see cref="OnEverythingSent"/>.
/// </summary>
internal interface IPostcopySenderEvents
{
    /// <summary>A PONG with <paramref name="value"/> has come. The sender has taken it into account.</summary>
    void OnPong(uint value);

    /// <summary>The destination has reported that the guest runs there.</summary>
    void OnVmStarted();

    /// <summary>PONG(0x42) has come for the first time: the destination has loaded the devices, and the guest starts there.</summary>
    void OnDevicesLoaded();

    /// <summary>After a lost link the destination has reported which pages of a block it holds, so it runs the guest.</summary>
    void OnBitmapReceived();

    /// <summary>
    /// Every page has been sent, and the end of the stream is about to be sent: SHUT may come right after that. Called on the thread that
    /// sends the background.
    /// </summary>
    void OnEverythingSent();
}
