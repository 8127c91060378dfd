using System.Net.Sockets;

namespace DataPlane.QemuTests.Harness;

/// <summary>
/// Takes the channel on which a source of mode cpr-transfer hands its descriptors over, and ends it, as the process beside it does when it
/// has them.
/// </summary>
internal sealed class CprListener : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    public CprListener(string path)
    {
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen(1);
        _ = TakeAsync();
    }

    public void Dispose() => _listener.Dispose();

    private async Task TakeAsync()
    {
        try
        {
            using var channel = await _listener.AcceptAsync();
            await channel.ReceiveAsync(new byte[4096]);
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }
}
