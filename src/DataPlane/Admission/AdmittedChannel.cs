using System.Net.Sockets;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane;

/// <summary>
/// A connection that has proved which channel it is. The receiver owns it: take its socket with <see cref="TakeSocket"/>, or dispose of it.
/// </summary>
/// <remarks>Thread-safe. The socket is in blocking mode and in no poll set; the runtime's socket engine has never seen it.</remarks>
public sealed class AdmittedChannel : IDisposable
{
    private readonly Lock _gate = new();
    private readonly BlockPool _pool;
    private readonly TimeProvider _time;
    private readonly TlsSession? _session;
    private SafeSocketHandle? _socket;
    private Channel? _channel;

    internal AdmittedChannel(SafeSocketHandle socket, TlsSession? session, BlockPool pool, TimeProvider time)
    {
        _session = session;
        _socket = socket;
        _pool = pool;
        _time = time;
    }

    /// <summary>The kind of the channel.</summary>
    public required ChannelKind Kind { get; init; }

    /// <summary>The number of a multifd channel; 0 for all other kinds.</summary>
    public int Id { get; init; }

    /// <summary>Whether the channel belongs to the recovery of a paused migration.</summary>
    public bool Recovered { get; init; }

    /// <summary>
    /// The set of channels that this one belongs to: how often <see cref="ChannelAdmission.StartAnew"/> had been called when it was
    /// admitted.
    /// </summary>
    public int Epoch { get; init; }

    /// <summary>The peer's address and port, or the path of the Unix listener it came to.</summary>
    public required string Peer { get; init; }

    /// <summary>The peer's address without its port, or the Unix listener it came to.</summary>
    internal PeerGroup PeerGroup { get; init; }

    /// <summary>
    /// All bytes that were read from the connection, at least those that proved it. For a multifd channel they are exactly its 64-byte init
    /// packet; for other kinds they may reach into what follows the proof. Whoever takes the socket treats them as read from it.
    /// </summary>
    public required ReadOnlyMemory<byte> Consumed { get; init; }

    /// <summary>
    /// The time from the poll that brought the deciding byte, or the host's <see cref="ChannelAdmission.Recheck"/>, to the admission.
    /// </summary>
    public TimeSpan Decision { get; init; }

    internal ChannelId ChannelId => Kind switch
    {
        ChannelKind.Main => ChannelId.Main,
        ChannelKind.Multifd => ChannelId.Multifd(Id),
        ChannelKind.Preempt => ChannelId.Preempt,
        _ => ChannelId.Tls,
    };

    /// <summary>The name of the channel for messages, such as "main", "multifd 3" or "preempt".</summary>
    internal string Name => ChannelId.ToString();

    /// <summary>
    /// The connection as a channel, which delivers the consumed bytes first; a multifd channel's init packet is not delivered again. The
    /// first access takes the socket.
    /// </summary>
    internal Channel Channel
    {
        get
        {
            lock (_gate)
            {
                if (_channel is not null)
                {
                    return _channel;
                }

                _channel = new Channel(TakeSocketLocked(), ChannelId, Peer, _pool, _time, _session) { PeerGroup = PeerGroup };
                if (Kind != ChannelKind.Multifd)
                {
                    _channel.Prepend(Consumed.Span);
                }

                return _channel;
            }
        }
    }

    /// <summary>Takes the connected socket, which is in blocking mode. The caller owns it from now on.</summary>
    /// <exception cref="InvalidOperationException">The socket was taken before, or this object was disposed of.</exception>
    public SafeSocketHandle TakeSocket()
    {
        lock (_gate)
        {
            return TakeSocketLocked();
        }
    }

    /// <summary>Resets the connection, unless its socket was taken. Idempotent.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_socket is null)
            {
                return;
            }

            _ = Linux.SocketCalls.TrySetLingerZero(_socket);
            _session?.Dispose();
            _socket.Dispose();
            _socket = null;
        }
    }

    private SafeSocketHandle TakeSocketLocked()
    {
        var socket = _socket ?? throw new InvalidOperationException($"The socket of {Name} from {Peer} was taken before.");
        _socket = null;
        return socket;
    }
}
