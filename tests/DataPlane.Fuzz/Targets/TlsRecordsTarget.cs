using DataPlane.Guard.Tls;

namespace DataPlane.Fuzz.Targets;

/// <summary>A handshake as the guard watches it: records of both sides, the same in every chunking.</summary>
internal sealed class TlsRecordsTarget : IFuzzTarget
{
    private const string Whole = "whole";

    private static readonly int[] s_pieces = [1, 4, 37, 999];

    public string Reads => "TLS records of a client and a server, with the server's hello, the same in every chunking";

    public int MaxInputBytes => 20 << 10;

    public long MaxAllocatedBytes => 64 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var choice = choices.Byte();
        var split = choices.Word();
        var server = choices.Rest[..Math.Min(split, choices.Rest.Length)];
        var client = choices.Rest[server.Length..];
        (var large, var small) = (Watch(server, client, 1 << 20), Watch(server, client, s_pieces[choice & 3]));
        if (large != small)
        {
            throw new OracleException($"in one piece: {large}; in pieces of {s_pieces[choice & 3]}: {small}");
        }

        var accepted = large.EndsWith(Whole, StringComparison.Ordinal);
        (large, small) = (Records(server, 1 << 20), Records(server, s_pieces[choice & 3]));
        if (large != small)
        {
            throw new OracleException($"in one piece: {large}; in pieces of {s_pieces[choice & 3]}: {small}");
        }

        return accepted;
    }

    private static string Watch(ReadOnlySpan<byte> server, ReadOnlySpan<byte> client, int piece)
    {
        var watch = new TlsHandshakeWatch();
        for (var at = 0; at < server.Length; at += piece)
        {
            watch.TakeServer(server[at..Math.Min(at + piece, server.Length)]);
        }

        for (var at = 0; at < client.Length; at += piece)
        {
            watch.TakeClient(client[at..Math.Min(at + piece, client.Length)]);
        }

        Oracle.Holds(!watch.LooksOver || watch.MayBeOver);
        var end = watch.IsBroken ? "broken" : Whole;
        return $"may be over {watch.MayBeOver}, looks over {watch.LooksOver}, {end}";
    }

    private static string Records(ReadOnlySpan<byte> bytes, int piece)
    {
        var reader = new TlsRecordReader();
        var seen = new HashCode();
        var count = 0;
        for (var at = 0; at < bytes.Length; at += piece)
        {
            var rest = bytes[at..Math.Min(at + piece, bytes.Length)];
            while (reader.TryRead(ref rest))
            {
                Oracle.Holds(reader.Head.Length <= reader.Length);
                seen.Add(reader.Type);
                seen.Add(reader.Length);
                seen.AddBytes(reader.Head);
                count++;
            }
        }

        return $"{count} records ({seen.ToHashCode():x8}), broken {reader.IsBroken}";
    }
}
