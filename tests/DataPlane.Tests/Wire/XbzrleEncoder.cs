using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

/// <summary>Makes deltas as a source does, one run of changed bytes after the other.</summary>
internal static class XbzrleEncoder
{
    public static byte[] Encode(ReadOnlySpan<byte> before, ReadOnlySpan<byte> after)
    {
        Assert.Equal(WireLimits.PageSize, before.Length);
        var delta = new List<byte>();
        var position = 0;
        while (true)
        {
            var unchanged = before[position..].CommonPrefixLength(after[position..]);
            var start = position + unchanged;
            if (start == before.Length)
            {
                return [.. delta];
            }

            var end = start;
            while (end < before.Length && before[end] != after[end])
            {
                end++;
            }

            AppendLength(delta, unchanged);
            AppendLength(delta, end - start);
            delta.AddRange(after[start..end]);
            position = end;
        }
    }

    public static void AppendLength(List<byte> delta, int length)
    {
        if (length < 0x80)
        {
            delta.Add((byte)length);
            return;
        }

        delta.Add((byte)(0x80 | (length & 0x7F)));
        delta.Add((byte)(length >> 7));
    }
}
