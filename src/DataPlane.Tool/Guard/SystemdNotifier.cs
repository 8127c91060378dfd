using System.Globalization;
using System.Net.Sockets;
using System.Text;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>
/// Tells systemd how a service of <c>Type=notify</c> is doing: one datagram per change, as described in sd_notify(3). Does nothing where no
/// service manager listens, and never fails a guard.
/// </summary>
internal sealed class SystemdNotifier : IDisposable
{
    private readonly Socket? _socket;
    private string? _status;

    /// <param name="socketPath">The value of NOTIFY_SOCKET; null where no service manager listens.</param>
    public SystemdNotifier(string? socketPath)
    {
        if (socketPath is not ['/' or '@', _, ..])
        {
            return;
        }
        // An @ stands for the zero byte of an abstract name.
        var path = socketPath[0] == '@' ? '\0' + socketPath[1..] : socketPath;
        try
        {
            _socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            _socket.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (Exception exception) when (exception is SocketException or ArgumentException)
        {
            _socket?.Dispose();
            _socket = null;
        }
    }

    /// <summary>Tells that the service is at work, or that a reload is over.</summary>
    public void Ready() => Send("READY=1");

    /// <summary>Tells that the config file is being read again, until <see cref="Ready"/> is called.</summary>
    public void Reloading()
    {
        // systemd compares this time with its own CLOCK_MONOTONIC, which is what the stopwatch counts here.
        var microseconds = System.Diagnostics.Stopwatch.GetTimestamp() / (System.Diagnostics.Stopwatch.Frequency / 1_000_000);
        Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    public void Stopping() => Send("STOPPING=1");

    /// <summary>Sets the line that <c>systemctl status</c> shows.</summary>
    public void Status(string text)
    {
        if (text == _status)
        {
            return;
        }

        _status = text;
        Send("STATUS=" + OneLine.Of(text));
    }

    private void Send(string message)
    {
        try
        {
            _socket?.Send(Encoding.UTF8.GetBytes(message));
        }
        catch (SocketException)
        {
            // The service manager is being replaced; what is lost is not needed.
        }
    }

    public void Dispose() => _socket?.Dispose();
}
