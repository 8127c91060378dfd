namespace DataPlane.Multifd.Compression;

/// <summary>
/// Gives the payloads of one packet after another to a <see cref="System.IO.Compression.ZLibStream"/>, and notes when the decoder asks for
/// more than a payload has.
/// </summary>
internal sealed unsafe class InflateSource(nint memory) : Stream
{
    private int _at;
    private int _end;

    /// <summary>
    /// Whether the decoder has taken every byte of the payload and has asked for more: then its stream has not ended, and no input is left.
    /// </summary>
    public bool RanDry { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Starts a new payload of <paramref name="bytes"/> bytes, which is already in the memory.</summary>
    public void Restart(int bytes)
    {
        _at = 0;
        _end = bytes;
        RanDry = false;
    }

    public override int Read(Span<byte> buffer)
    {
        var bytes = Math.Min(buffer.Length, _end - _at);
        // SAFETY: the payload lies in the memory up to its end.
        new ReadOnlySpan<byte>((byte*)memory + _at, bytes).CopyTo(buffer);
        _at += bytes;
        RanDry = bytes == 0;
        return bytes;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
