using System.Buffers.Binary;
using System.Text;

namespace DataPlane.Tests.Multifd.Compression;

public enum PageKind
{
    Zeros,
    Text,
    Random,
    Repeated,
    HalfRandom,
    Counters,
}

/// <summary>Pages as guests have them: what compresses well, what does not, and what is between.</summary>
internal static class PageContents
{
    private static readonly byte[] s_words =
        Encoding.ASCII.GetBytes("the quick migration moves a lazy guest; every page of it is sent and sent again until it fits ");

    public static void Fill(Span<byte> page, PageKind kind, int seed)
    {
        var random = new Random(seed);
        switch (kind)
        {
            case PageKind.Zeros:
                page.Clear();
                break;
            case PageKind.Text:
                for (var i = 0; i < page.Length; i++)
                {
                    page[i] = random.Next(9) == 0 ? (byte)random.Next(97, 123) : s_words[(i + seed) % s_words.Length];
                }

                break;
            case PageKind.Random:
                random.NextBytes(page);
                break;
            case PageKind.Repeated:
                page.Fill((byte)(seed | 1));
                break;
            case PageKind.HalfRandom:
                page.Fill((byte)seed);
                random.NextBytes(page[(page.Length / 2)..]);
                break;
            default:
                for (var i = 0; i < page.Length; i += 8)
                {
                    BinaryPrimitives.WriteInt64LittleEndian(page[i..], ((long)seed << 16) + i);
                }

                break;
        }
    }
}
