namespace DataPlane.Transport.Tls;

/// <summary>
/// A connection whose first bytes have been read by somebody else: they are delivered first. After <see cref="ReadAhead"/> it reads large
/// pieces, so that a TLS stream, which asks for a few bytes at a time, costs few system calls. One reader and one writer.
/// </summary>
internal sealed class PrefixedStream(Stream inner, ReadOnlyMemory<byte> prefix) : ConnectionStream
{
    private const int AheadBytes = 128 * 1024;

    private ReadOnlyMemory<byte> _ready = prefix;
    private byte[]? _buffer;

    /// <summary>From now on each read takes as much as fits a buffer of 128 KiB.</summary>
    public void ReadAhead() => _buffer = GC.AllocateUninitializedArray<byte>(AheadBytes);

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_ready.IsEmpty)
        {
            if (_buffer is null || buffer.IsEmpty)
            {
                return await inner.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            }

            var read = await inner.ReadAsync(_buffer, cancellationToken).ConfigureAwait(false);
            _ready = _buffer.AsMemory(0, read);
        }

        var taken = Math.Min(buffer.Length, _ready.Length);
        _ready[..taken].CopyTo(buffer);
        _ready = _ready[taken..];
        return taken;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        inner.WriteAsync(buffer, cancellationToken);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
        }

        base.Dispose(disposing);
    }
}
