namespace DataPlane.Multifd.Compression;

/// <summary>Collects the output of a <see cref="System.IO.Compression.DeflateStream"/> in memory of fixed size.</summary>
internal sealed unsafe class DeflateSink(nint memory, int capacity) : Stream
{
    /// <summary>The number of bytes collected since this was last set to 0.</summary>
    public int Collected { get; set; }

    /// <summary>While true, all output is discarded.</summary>
    public bool Discards { get; set; }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (Discards)
        {
            return;
        }
        // SAFETY: the span covers the memory that the owner has given, and slicing it checks that there is room.
        buffer.CopyTo(new Span<byte>((void*)memory, capacity)[Collected..]);
        Collected += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
