using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// One TLS session between plain bytes and the bytes of a socket. It does no input or output: the owner of the socket sends what
/// <see cref="PeekOutgoing"/> returns, and receives into what <see cref="PeekIncoming"/> returns.
/// <code>
/// guest memory --Encrypt--> outgoing ring --sendmsg--> socket --recvmsg--> incoming ring --Decrypt--> guest memory
/// </code>
/// </summary>
/// <remarks>
/// A session of OpenSSL belongs to one thread at a time, but a channel has a thread for each direction. So calls into it are made under a
/// lock, and system calls, which may wait, outside it; the memory that they use is not moved by the other direction. Each direction belongs
/// to one thread at a time. Nothing is allocated after the handshake.
/// </remarks>
internal sealed unsafe class TlsSession : IDisposable
{
    /// <summary>Plain bytes of the largest record.</summary>
    public const int RecordBytes = 16 * 1024;

    // Eight records were measured as the best: more per system call cost more in the cache than they saved in calls. The rest is room for
    // the answers to a peer's requests for new keys.
    private const int OutgoingBytes = (8 * (RecordBytes + RecordOverhead)) + 4096;
    private const int IncomingBytes = 4 * (RecordBytes + RecordOverhead);
    private const int RecordOverhead = 256;

    // The most bytes of a peer that neither complete a handshake nor hold a plain byte. Certificates of 100 KiB fit; a flood of requests
    // for new keys (each 27 bytes, and 4 us of work) does not. One read of a full ring brings 65 KiB.
    private const int MaxUnproductiveBytes = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly TlsMemory _outgoing = new();
    private readonly TlsMemory _incoming = new();
    private readonly TlsHandle _handle;
    private readonly nint _session;
    private readonly nint _near;
    private readonly nint _network;
    private readonly string? _host;
    private readonly TlsPeerPolicy? _policy;
    private volatile string? _failure;
    private long _unproductive;
    private long _left; // bytes that the socket has taken from the outgoing ring so far
    private long _owed; // the value of _left at which all that was encrypted has left

    /// <param name="session">A new session of OpenSSL, owned by this object from now on.</param>
    /// <param name="host">The host that a client wants to reach; <see langword="null"/> for a server.</param>
    /// <param name="policy">The rules that decide which peers with a good certificate are let in; null where keys are shared.</param>
    public TlsSession(nint session, string? host, TlsPeerPolicy? policy = null)
    {
        nint near, far;
        // SAFETY: both are locals.
        if (OpenSsl.NewBioPair(&near, OutgoingBytes, &far, IncomingBytes) != 1)
        {
            OpenSsl.FreeSession(session);
            throw new InsufficientMemoryException("OpenSSL gives no memory for a session.");
        }

        OpenSsl.SetBio(session, near, near);
        _session = session;
        _near = near;
        _network = far;
        _host = host;
        _policy = policy;
        _handle = new TlsHandle(session, far);
    }

    /// <summary>What broke the session; <see langword="null"/> when nothing did. Any thread may read it.</summary>
    public string? Failure => _failure;

    /// <summary>Whether bytes of an unfinished record are here, so that an end of the connection now is inside a record.</summary>
    public bool HoldsPiece
    {
        get
        {
            lock (_gate)
            {
                return !_handle.IsClosed && (OpenSsl.HasPending(_session) != 0 || OpenSsl.ReadState(_session)[1] != (byte)'H');
            }
        }
    }

    /// <summary>
    /// Keeps the memory of the rings while a system call works on it, even if the session is disposed of meanwhile. Each call needs a
    /// <see cref="Release"/>.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The session has been disposed of.</exception>
    public void Hold()
    {
        var held = false;
        _handle.DangerousAddRef(ref held);
    }

    /// <summary>As <see cref="Hold"/>; returns false when the session has been disposed of, and then needs no release.</summary>
    public bool TryHold()
    {
        try
        {
            Hold();
            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    public void Release() => _handle.DangerousRelease();

    /// <summary>Continues the handshake as far as the bytes that are here allow.</summary>
    public TlsResult Handshake()
    {
        lock (_gate)
        {
            if (_handle.IsClosed)
            {
                return TlsResult.Failed;
            }

            OpenSsl.ClearErrors();
            var result = OpenSsl.Handshake(_session);
            if (result != 1)
            {
                return Explain(result);
            }

            _unproductive = 0;
            if (_policy is not null)
            {
                _failure ??= TlsVerification.FindFault(_session, _policy, _host is null ? "the client" : "the server");
            }

            return _failure is null ? TlsResult.Done : TlsResult.Failed;
        }
    }

    /// <summary>
    /// Encrypts up to one record from <paramref name="data"/>. With <see cref="TlsResult.NeedsOutput"/> nothing was encrypted: the outgoing
    /// bytes must leave first.
    /// </summary>
    public TlsResult Encrypt(ReadOnlySpan<byte> data, out int done)
    {
        done = 0;
        var length = Math.Min(data.Length, RecordBytes);
        lock (_gate)
        {
            if (_handle.IsClosed)
            {
                return TlsResult.Failed;
            }

            if (OpenSsl.WriteRoom(_near) < (nuint)(length + RecordOverhead))
            {
                OweAll();
                return TlsResult.NeedsOutput;
            }

            nuint taken;
            OpenSsl.ClearErrors();
            int result;
            // SAFETY: length bytes of the span, which is fixed for the call, are read; the count is a local.
            fixed (byte* first = data)
            {
                result = OpenSsl.Write(_session, first, (nuint)length, &taken);
            }

            OweAll();
            done = result == 1 ? (int)taken : 0;
            return result == 1 ? TlsResult.Done : Explain(result);
        }
    }

    /// <summary>Decrypts up to one record to <paramref name="data"/>, as far as the bytes that are here allow.</summary>
    public TlsResult Decrypt(Span<byte> data, out int done)
    {
        done = 0;
        lock (_gate)
        {
            if (_handle.IsClosed)
            {
                return TlsResult.Failed;
            }

            nuint given;
            OpenSsl.ClearErrors();
            int result;
            // SAFETY: no more than the span, which is fixed for the call, is written; the count is a local.
            fixed (byte* first = data)
            {
                result = OpenSsl.Read(_session, first, (nuint)data.Length, &given);
            }

            done = result == 1 ? (int)given : 0;
            if (result != 1)
            {
                return Explain(result);
            }

            _unproductive = 0;
            return TlsResult.Done;
        }
    }

    /// <summary>Appends close_notify to what was encrypted, once.</summary>
    public void AppendCloseNotify()
    {
        lock (_gate)
        {
            if (_handle.IsClosed || _failure is not null)
            {
                return;
            }

            OpenSsl.ClearErrors();
            if (OpenSsl.Shutdown(_session) < 0)
            {
                _failure ??= TlsFailures.Take(_session, _host);
            }

            OweAll();
        }
    }

    /// <summary>
    /// The next bytes for the socket, which stay where they are until <see cref="ConfirmOutgoing"/>. Needs <see cref="Hold"/>.
    /// </summary>
    public IoVec PeekOutgoing()
    {
        nint data;
        lock (_gate)
        {
            // SAFETY: the pointer is a local; what it is set to lives as long as the handle.
            var length = OpenSsl.PeekRead(_network, &data);
            return length > 0 ? new IoVec(data, (nuint)length) : default;
        }
    }

    /// <summary>
    /// The next bytes for the socket up to the end of what was encrypted. A reading thread may have put an alert after that, about what the
    /// peer has sent. Whoever waits until the last byte of a guest has left must not be told that it has not because of the alert. Needs
    /// <see cref="Hold"/>.
    /// </summary>
    public IoVec PeekOwed()
    {
        lock (_gate)
        {
            var piece = PeekOutgoing();
            return new IoVec(piece.Address, (nuint)Math.Min((long)piece.Length, Math.Max(0, _owed - _left)));
        }
    }

    /// <summary>As <see cref="PeekOwed"/>, for the runtime's sockets.</summary>
    public ReadOnlyMemory<byte> PeekOwedMemory() => _outgoing.Over(PeekOwed());

    public void ConfirmOutgoing(int count)
    {
        nint data;
        lock (_gate)
        {
            Require(OpenSsl.ConfirmRead(_network, &data, count) == count); // SAFETY: the pointer is a local.
            _left += count;
        }
    }

    /// <summary>
    /// The room for the next bytes from the socket; <see cref="ConfirmIncoming"/> tells how many came. Needs <see cref="Hold"/>.
    /// </summary>
    public IoVec PeekIncoming()
    {
        nint data;
        lock (_gate)
        {
            // SAFETY: the pointer is a local; what it is set to lives as long as the handle.
            var length = OpenSsl.PeekWrite(_network, &data);
            return length > 0 ? new IoVec(data, (nuint)length) : default;
        }
    }

    /// <summary>As <see cref="PeekIncoming"/>, for the runtime's sockets.</summary>
    public Memory<byte> PeekIncomingMemory() => _incoming.Over(PeekIncoming());

    public void ConfirmIncoming(int count)
    {
        nint data;
        lock (_gate)
        {
            Require(OpenSsl.ConfirmWrite(_network, &data, count) == count); // SAFETY: the pointer is a local.
            _unproductive += count;
        }
    }

    /// <summary>Takes bytes that were read from the socket before the session existed.</summary>
    /// <exception cref="InvalidOperationException">These are more bytes than the session has room for.</exception>
    public void Prepend(ReadOnlySpan<byte> consumed)
    {
        Hold();
        try
        {
            while (!consumed.IsEmpty)
            {
                var room = PeekIncoming();
                var count = (int)Math.Min(room.Length, (nuint)consumed.Length);
                if (count == 0)
                {
                    throw new InvalidOperationException("More bytes were read ahead than a session takes.");
                }
                consumed[..count].CopyTo(room.AsSpan()); // the hold keeps the session's memory
                ConfirmIncoming(count);
                consumed = consumed[count..];
            }
        }
        finally
        {
            Release(); // a reference that is left would keep the session's memory for ever
        }
    }

    public void Dispose() => _handle.Dispose();

    private void OweAll() => _owed = _left + (long)OpenSsl.Pending(_network);

    private static void Require(bool isMoved)
    {
        if (!isMoved)
        {
            throw new InvalidOperationException("More bytes were moved than the memory of a TLS session has.");
        }
    }

    private TlsResult Explain(int result)
    {
        switch (OpenSsl.GetError(_session, result))
        {
            case OpenSsl.ErrorWantRead when _unproductive > MaxUnproductiveBytes:
                _failure ??= $"{(_host is null ? "the client" : "the server")} sends TLS records and nothing in them";
                return TlsResult.Failed;
            case OpenSsl.ErrorWantRead:
                return TlsResult.NeedsInput;
            case OpenSsl.ErrorWantWrite:
                return TlsResult.NeedsOutput;
            case OpenSsl.ErrorZeroReturn:
                return TlsResult.Ended;
            default:
                _failure ??= TlsFailures.Take(_session, _host);
                return TlsResult.Failed;
        }
    }
}

/// <summary>The result of a call into a <see cref="TlsSession"/>.</summary>
internal enum TlsResult
{
    /// <summary>The call did what was asked.</summary>
    Done,

    /// <summary>The call needs more bytes from the socket.</summary>
    NeedsInput,

    /// <summary>The outgoing bytes must be sent first.</summary>
    NeedsOutput,

    /// <summary>The peer has sent close_notify, so nothing follows.</summary>
    Ended,

    /// <summary>The session is broken; <see cref="TlsSession.Failure"/> has the reason, unless the session was disposed of.</summary>
    Failed,
}
