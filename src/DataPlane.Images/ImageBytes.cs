using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>Random access to the bytes of an image.</summary>
internal abstract class ImageBytes
{
    public abstract long Length { get; }

    /// <summary>Fills the buffer from <paramref name="offset"/> on; returns less than its length only at the end of the image.</summary>
    public abstract int Read(long offset, Span<byte> buffer);

    /// <summary>Gives access to the bytes of a file.</summary>
    /// <param name="file">The file, which the caller disposes.</param>
    public static ImageBytes Of(SafeFileHandle file) => new FileBytes(file);

    private sealed class FileBytes(SafeFileHandle file) : ImageBytes
    {
        // The length is read once, so a file that grows meanwhile is read up to its former end.
        public override long Length { get; } = RandomAccess.GetLength(file);

        public override int Read(long offset, Span<byte> buffer)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(file, buffer[total..], offset + total);
                if (read == 0)
                {
                    break;
                }

                total += read;
            }

            return total;
        }
    }
}
