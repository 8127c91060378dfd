using System.Net;
using System.Net.Sockets;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;

namespace DataPlane.Tool.Serve;

/// <summary>
/// Accepts control connections and serves one session at a time; whoever comes meanwhile is told so and closed. A broken session ends
/// alone: the server goes on.
/// </summary>
internal sealed class ServeServer : IDisposable
{
    private readonly Socket _listener;
    private readonly ServeSettings _settings;
    private readonly IReadOnlyList<IServeLeg> _legs;
    private readonly TimeProvider _time;
    private readonly Action<string> _tell;

    /// <summary>Listens from the moment it exists.</summary>
    /// <param name="tell">Gets a line about each session, for the person who watches.</param>
    public ServeServer(IPEndPoint address, ServeSettings settings, IReadOnlyList<IServeLeg> legs, TimeProvider time, Action<string> tell)
    {
        _settings = settings;
        _legs = legs;
        _time = time;
        _tell = tell;
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            _listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            if (address.Address.Equals(IPAddress.IPv6Any))
                _listener.DualMode = true;
            _listener.Bind(address);
            _listener.Listen(16);
        }
        catch (SocketException exception)
        {
            _listener.Dispose();
            throw new CommandException($"cannot listen on {address}: {exception.Message}", ExitCode.Failed, exception);
        }
    }

    public IPEndPoint LocalEndPoint => (IPEndPoint)_listener.LocalEndPoint!;

    /// <summary>Sessions that ended, well or badly.</summary>
    public int Sessions { get; private set; }

    /// <summary>Legs that ended without an error, over all sessions.</summary>
    public int CompletedLegs { get; private set; }

    /// <summary>Serves until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        Task session = Task.CompletedTask;
        try
        {
            while (true)
            {
                Socket client = await PatientAccept.AcceptAsync(_listener, _time, cancellation).ConfigureAwait(false);
                if (TryWrap(client) is not { } control)
                    continue;
                if (session.IsCompleted)
                    session = ServeAsync(control, cancellation);
                else
                    await RefuseAsync(control, cancellation).ConfigureAwait(false);
            }
        }
        finally
        {
            await session.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Null where the client has gone already.</summary>
    private ControlConnection? TryWrap(Socket client)
    {
        try
        {
            client.NoDelay = true;
            client.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            string peer = client.RemoteEndPoint?.ToString() ?? "client";
            return new ControlConnection(new NetworkStream(client, ownsSocket: true), peer, _time);
        }
        catch (Exception exception) when (exception is SocketException or IOException)
        {
            client.Dispose();
            return null;
        }
    }

    private async Task ServeAsync(ControlConnection control, CancellationToken cancellation)
    {
        var session = new ServeSession(control, _settings, _legs, () => Environment.CpuUsage.TotalTime);
        await using (session.ConfigureAwait(false))
        {
            try
            {
                _tell($"session of {control.Peer} opened");
                await session.RunAsync(cancellation).ConfigureAwait(false);
                _tell($"session of {control.Peer} closed, {session.CompletedLegs} legs completed");
            }
            // One session's trouble, a defect included, is not the next one's.
#pragma warning disable CA1031
            catch (Exception exception)
#pragma warning restore CA1031
            {
                _tell($"session of {control.Peer} ended early: {exception.Message}");
            }
            finally
            {
                Sessions++;
                CompletedLegs += session.CompletedLegs;
            }
        }
    }

    private async Task RefuseAsync(ControlConnection control, CancellationToken cancellation)
    {
        await using (control.ConfigureAwait(false))
        {
            try
            {
                var busy = new ErrorMessage
                {
                    Code = ErrorMessage.Busy,
                    Message = "another session is under way; try again when it is over",
                };
                await control.WriteAsync(busy, cancellation).ConfigureAwait(false);
                _tell($"session of {control.Peer} refused: busy");
            }
            catch (IOException exception)
            {
                _tell($"session of {control.Peer} ended early: {exception.Message}");
            }
        }
    }

    public void Dispose() => _listener.Dispose();
}
