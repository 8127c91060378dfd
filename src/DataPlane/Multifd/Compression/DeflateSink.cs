namespace DataPlane.Multifd.Compression;

/// <summary>Collects what a <see cref="System.IO.Compression.DeflateStream"/> writes, in memory of fixed size.</summary>
internal sealed unsafe class DeflateSink(nint memory, int capacity) : Stream
{
    /// <summary>Bytes collected since it was last set to 0.</summary>
    public int Collected { get; set; }

    /// <summary>While true everything is thrown away.</summary>
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
        // SAFETY: the span is the memory that the owner gave; slicing it checks the room.
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
