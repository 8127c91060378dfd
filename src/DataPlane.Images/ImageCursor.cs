using System.Buffers;

namespace DataPlane.Images;

/// <summary>Goes through an image from its beginning, and remembers what was wrong at the place where it stopped.</summary>
/// <param name="image">The bytes of the file.</param>
/// <param name="position">The place to begin at.</param>
internal sealed class ImageCursor(ImageBytes image, long position)
{
    /// <summary>
    /// Number of bytes looked at for one element, which is more than any configuration or section header has. Early sections need more.
    /// </summary>
    public const int ElementBytes = 32 << 10;

    private byte[] _buffer = new byte[ElementBytes];

    public long Length => image.Length;

    public long Position { get; set; } = position;

    /// <summary>What was wrong, if a call has failed.</summary>
    public string? Error { get; private set; }

    /// <summary>Whether a range lies inside the file.</summary>
    public bool Fits(long offset, long length) => offset <= image.Length && length <= image.Length - offset;

    /// <summary>Returns up to <paramref name="count"/> bytes from the position on, which are valid until the next call.</summary>
    public ReadOnlySpan<byte> Look(int count)
    {
        var available = (int)Math.Clamp(image.Length - Position, 0, count);
        if (_buffer.Length < available)
        {
            _buffer = new byte[available];
        }

        return _buffer.AsSpan(0, image.Read(Position, _buffer.AsSpan(0, available)));
    }

    /// <summary>
    /// Goes on by <paramref name="consumed"/> bytes if an element has been read. Otherwise fails with <paramref name="error"/>, or because
    /// the file ends too early.
    /// </summary>
    public bool Move(OperationStatus status, int consumed, string? error)
    {
        if (status == OperationStatus.NeedMoreData)
        {
            return Fail($"the file ends ({image.Length:X} bytes) before the image does");
        }

        if (status != OperationStatus.Done)
        {
            return Fail(error);
        }

        Position += consumed;
        return true;
    }

    /// <summary>Records what is wrong, and returns false.</summary>
    public bool Fail(string? error)
    {
        Error = error;
        return false;
    }
}
