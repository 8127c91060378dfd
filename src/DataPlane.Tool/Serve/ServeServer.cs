using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Transport.Tls;

namespace DataPlane.Tool.Serve;

/// <summary>
/// Accepts control connections and serves one session at a time; whoever comes meanwhile is told so and closed. A broken session ends
/// alone: the server goes on.
/// </summary>
internal sealed class ServeServer : IDisposable
{
    private const int MaxRefusalsAtOnce = 16;

    private readonly Socket _listener;
    private readonly ServeSettings _settings;
    private readonly IReadOnlyList<IServeLeg> _legs;
    private readonly TimeProvider _time;
    private readonly Action<string> _tell;
    private readonly TlsCredentials? _tls;
    private int _refusals;

    /// <summary>Listens from the moment it exists.</summary>
    /// <param name="tell">Gets a line about each session, for the person who watches.</param>
    /// <param name="tls">Of a server: control connections are inside TLS then. The caller disposes of them.</param>
    public ServeServer(
        IPEndPoint address, ServeSettings settings, IReadOnlyList<IServeLeg> legs, TimeProvider time, Action<string> tell,
        TlsCredentials? tls = null)
    {
        _tls = tls;
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
                if (session.IsCompleted)
                    session = ServeAsync(client, cancellation);
                else
                    _ = RefuseAsync(client, cancellation); // beside the others: a handshake and an answer take as long as the client likes
            }
        }
        finally
        {
            await session.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <exception cref="IOException">The connection is gone already.</exception>
    /// <exception cref="AuthenticationException">There will be no TLS with this client.</exception>
    private async Task<ControlConnection> WrapAsync(Socket client, CancellationToken cancellation)
    {
        string peer;
        try
        {
            client.NoDelay = true;
            client.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            peer = client.RemoteEndPoint?.ToString() ?? "client";
        }
        catch (SocketException exception)
        {
            client.Dispose();
            throw new IOException(exception.Message, exception);
        }

        Stream stream = await ControlTls.SecureAsync(client, _tls, null, _time, cancellation).ConfigureAwait(false);
        return new ControlConnection(stream, peer, _time);
    }

    private async Task ServeAsync(Socket client, CancellationToken cancellation)
    {
        ControlConnection control;
        try
        {
            control = await WrapAsync(client, cancellation).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is IOException or AuthenticationException)
        {
            _tell($"a client was refused: {exception.Message}");
            return;
        }

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

    private async Task RefuseAsync(Socket client, CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref _refusals) > MaxRefusalsAtOnce)
        {
            Interlocked.Decrement(ref _refusals);
            client.Dispose(); // without a word: too many take their time to hear it
            return;
        }

        try
        {
            ControlConnection control = await WrapAsync(client, cancellation).ConfigureAwait(false);
            await using (control.ConfigureAwait(false))
            {
                var busy = new ErrorMessage
                {
                    Code = ErrorMessage.Busy,
                    Message = "another session is under way; try again when it is over",
                };
                await control.WriteAsync(busy, cancellation).ConfigureAwait(false);
                _tell($"session of {control.Peer} refused: busy");
            }
        }
        catch (Exception exception) when (exception is IOException or AuthenticationException or ObjectDisposedException)
        {
            _tell($"a client was refused: {exception.Message}");
        }
        catch (OperationCanceledException)
        {
            // The server ends.
        }
        finally
        {
            Interlocked.Decrement(ref _refusals);
        }
    }

    public void Dispose() => _listener.Dispose();
}
