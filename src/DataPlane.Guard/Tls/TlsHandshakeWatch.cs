namespace DataPlane.Guard.Tls;

/// <summary>
/// Follows a TLS handshake by the heads of the records that pass, as far as that can be seen from outside.
/// <code>
/// TLS 1.3   client: hello            encrypted: [certificate, verify], finished
///           server:        hello, encrypted ...
/// TLS 1.2   client: hello            [certificate], keys, [verify], change, finished
///           server:        hello ... done                                           change, finished
/// </code>
/// </summary>
internal sealed class TlsHandshakeWatch
{
    private readonly TlsRecordReader _client = new();
    private readonly TlsRecordReader _server = new();
    private bool _clientChanged;
    private bool _serverChanged;
    private TlsServerHello? _hello;

    /// <summary>
    /// Whether the client has begun to encrypt, so that its last message may have passed. The records do not show which one is the last,
    /// and a client that wants to deceive may cut them as it likes.
    /// </summary>
    public bool MayBeOver { get; private set; }

    /// <summary>Whether the records look as when an honest client and its server have ended the handshake.</summary>
    public bool LooksOver { get; private set; }

    /// <summary>Whether bytes have passed that are not TLS.</summary>
    public bool IsBroken { get; private set; }

    public void TakeClient(ReadOnlySpan<byte> bytes)
    {
        while (_client.TryRead(ref bytes))
        {
            Judge(_client, fromClient: true);
        }

        IsBroken |= _client.IsBroken;
    }

    public void TakeServer(ReadOnlySpan<byte> bytes)
    {
        while (_server.TryRead(ref bytes))
        {
            Judge(_server, fromClient: false);
        }

        IsBroken |= _server.IsBroken;
    }

    private void Judge(TlsRecordReader record, bool fromClient)
    {
        if (!fromClient && _hello is null && record.Type == TlsRecordType.Handshake)
        {
            _hello = TlsServerHello.Parse(record.Head);
            IsBroken |= _hello is null;
        }
        else if (_hello is { IsTls13: true } hello)
        {
            // GnuTLS and OpenSSL put each message into a record of its own, and no other one of a handshake has the length of the last.
            var isEncrypted = fromClient && record.Type == TlsRecordType.Data;
            MayBeOver |= isEncrypted;
            LooksOver |= isEncrypted && record.Length == hello.FinishedRecord;
        }
        else if (_hello is not null)
        {
            var isFinished = record.Type == TlsRecordType.Handshake && (fromClient ? _clientChanged : _serverChanged);
            MayBeOver |= isFinished;
            LooksOver |= isFinished && !fromClient;
            _clientChanged |= fromClient && record.Type == TlsRecordType.Change;
            _serverChanged |= !fromClient && record.Type == TlsRecordType.Change;
        }
    }
}
