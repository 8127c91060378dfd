using System.Text;

namespace DataPlane.Tests.Wire;

/// <summary>Bytes written as in the format's documentation: hex digits, spaces and line ends as one likes, text in double quotes.</summary>
internal static class Hex
{
    public static byte[] Bytes(string text)
    {
        var bytes = new List<byte>();
        var parts = text.Split('"');
        for (var i = 0; i < parts.Length; i++)
        {
            if (i % 2 == 1)
            {
                bytes.AddRange(Encoding.ASCII.GetBytes(parts[i]));
            }
            else
            {
                bytes.AddRange(Convert.FromHexString(string.Concat(parts[i].Where(c => !char.IsWhiteSpace(c)))));
            }
        }

        return [.. bytes];
    }
}
