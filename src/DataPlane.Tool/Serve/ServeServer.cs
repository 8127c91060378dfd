using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Linux;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Transport;

namespace DataPlane.Tool.Serve;

/// <summary>
/// Accepts control connections and serves one session at a time; a client that comes meanwhile is told that the server is busy. The session
/// begins only after the TLS handshake and the client's hello, so a silent connection holds nobody up. A broken session ends alone, and the
/// server goes on.
/// </summary>
internal sealed class ServeServer : IDisposable
{
    /// <summary>The most connections that have not sent hello yet; one more ends the oldest.</summary>
    private const int MaxUndecided = 16;

    /// <summary>How long the clients under way may take to end when the server ends.</summary>
    private static readonly TimeSpan s_endTimeout = TimeSpan.FromSeconds(40);

    private readonly Socket _listener;
    private readonly ServeSettings _settings;
    private readonly IReadOnlyList<IServeLeg> _legs;
    private readonly TimeProvider _time;
    private readonly Action<string> _tell;
    private readonly TlsCredentials? _tls;
    private readonly LinkedList<CancellationTokenSource> _undecided = new();
    private readonly HashSet<Task> _clients = [];
    private int _seatIsTaken;

    /// <summary>Opens the listener at once.</summary>
    /// <param name="tell">Gets a line about each session, for the person who watches.</param>
    /// <param name="tls">
    /// The server's credentials; control connections are inside TLS then. The caller disposes of them. Null for no TLS.
    /// </param>
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
            // The runtime's own option is not used: it lets a second serve take the same port, and each would get half of the clients.
            _ = SocketCalls.TrySetSocketOption(_listener.SafeHandle, SocketCalls.LevelSocket, SocketCalls.OptionReuseAddress, 1);
            if (address.Address.Equals(IPAddress.IPv6Any))
            {
                _listener.DualMode = true;
            }

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

    /// <summary>The number of sessions that ended, well or badly.</summary>
    public int Sessions { get; private set; }

    /// <summary>The number of legs that ended without an error, over all sessions.</summary>
    public int CompletedLegs { get; private set; }

    /// <summary>Serves until cancelled, and then waits a limited time for the sessions and refusals under way.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            while (true)
            {
                var client = await PatientAccept.AcceptAsync(_listener, _time, cancellation).ConfigureAwait(false);
                _clients.RemoveWhere(static one => one.IsCompleted);
                _clients.Add(ReceiveAsync(client, cancellation));
            }
        }
        finally
        {
            await Task.WhenAll(_clients).WaitAsync(s_endTimeout, _time, CancellationToken.None)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
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
            peer = client.RemoteEndPoint is IPEndPoint address ? PeerAddress.Of(address).ToString() : "client";
        }
        catch (SocketException exception)
        {
            client.Dispose();
            throw new IOException(exception.Message, exception);
        }

        var stream = await ControlTls.SecureAsync(client, _tls, null, _time, cancellation).ConfigureAwait(false);
        return new ControlConnection(stream, peer, _time);
    }

    /// <summary>Serves one client from its first byte to its last. Whatever goes wrong with it is reported, and ends here.</summary>
    private async Task ReceiveAsync(Socket client, CancellationToken cancellation)
    {
        try
        {
            if (await MeetAsync(client, cancellation).ConfigureAwait(false) is not { } visit)
            {
                return;
            }

            var isSeated = Interlocked.Exchange(ref _seatIsTaken, 1) == 0;
            try
            {
                await using (visit.Session.ConfigureAwait(false))
                {
                    await (isSeated ? ServeAsync(visit, cancellation) : RefuseAsync(visit.Control, cancellation)).ConfigureAwait(false);
                }
            }
            finally
            {
                // The next session gets memory of its own, so it may begin only when this one's is gone.
                if (isSeated)
                {
                    Volatile.Write(ref _seatIsTaken, 0);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or AuthenticationException or ObjectDisposedException)
        {
            _tell($"a client was refused: {exception.Message}");
        }
        catch (OperationCanceledException)
        {
            // The server is ending.
        }
    }

    /// <summary>Waits for the handshake and the hello; null where the client has been told that the server is busy.</summary>
    private async Task<Visit?> MeetAsync(Socket client, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var place = Enter(patience);
        Visit? visit = null;
        var isMet = false;
        try
        {
            var control = await WrapAsync(client, patience.Token).ConfigureAwait(false);
            visit = new Visit(control, new ServeSession(control, _settings, _legs, _time, () => Environment.CpuUsage.TotalTime));
            if (Volatile.Read(ref _seatIsTaken) != 0)
            {
                await RefuseAsync(control, patience.Token).ConfigureAwait(false);
                return null;
            }

            await visit.Session.MeetAsync(patience.Token).ConfigureAwait(false);
            isMet = true;
            return visit;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"more than {MaxUndecided} connections have not said hello, and this was the oldest");
        }
        finally
        {
            lock (_undecided)
            {
                if (place.List is not null)
                {
                    _undecided.Remove(place);
                }
            }

            if (visit is not null && !isMet)
            {
                await visit.Session.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Notes one more connection that has not sent hello, and ends the oldest when there are too many.</summary>
    private LinkedListNode<CancellationTokenSource> Enter(CancellationTokenSource patience)
    {
        lock (_undecided)
        {
            if (_undecided.Count == MaxUndecided)
            {
                var oldest = _undecided.First!.Value;
                _undecided.RemoveFirst();
                _ = oldest.CancelAsync(); // its callbacks run on another thread
            }

            return _undecided.AddLast(patience);
        }
    }

    private async Task ServeAsync(Visit visit, CancellationToken cancellation)
    {
        var (control, session) = visit;
        try
        {
            _tell($"session of {control.Peer} opened");
            await session.RunAsync(cancellation).ConfigureAwait(false);
            _tell($"session of {control.Peer} closed, {session.CompletedLegs} legs completed");
        }
        // A failure of one session, even a defect, must not touch the next one.
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

    private async Task RefuseAsync(ControlConnection control, CancellationToken cancellation)
    {
        var busy = new ErrorMessage
        {
            Code = ErrorMessage.Busy,
            Message = "another session is under way; try again when it is over",
        };
        await control.WriteAsync(busy, cancellation).ConfigureAwait(false);
        _tell($"session of {control.Peer} refused: busy");
    }

    /// <summary>A client that has sent its hello.</summary>
    private sealed record Visit(ControlConnection Control, ServeSession Session);

    public void Dispose() => _listener.Dispose();
}
