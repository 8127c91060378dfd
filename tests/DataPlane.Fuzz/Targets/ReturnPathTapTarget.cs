using DataPlane.Guard.ReturnPath;

namespace DataPlane.Fuzz.Targets;

/// <summary>The guard's ear on the return path: the same news for every chunking.</summary>
internal sealed class ReturnPathTapTarget : IFuzzTarget
{
    private const string Lost = ", lost";

    private static readonly int[] s_pieces = [1, 3, 17, 333];

    public string Reads => "the return path of a guarded migration, the same in every chunking (ReturnPathTap)";

    public int MaxInputBytes => 8 << 10;

    public long MaxAllocatedBytes => 512 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var piece = s_pieces[choices.Choice(s_pieces.Length)];
        var large = Listen(choices.Rest, Math.Max(choices.Rest.Length, 1));
        var small = Listen(choices.Rest, piece);
        if (large != small)
        {
            throw new OracleException($"in one piece: {large}; in pieces of {piece}: {small}");
        }

        return !large.EndsWith(Lost, StringComparison.Ordinal);
    }

    private static string Listen(ReadOnlySpan<byte> bytes, int piece)
    {
        var requests = new PageRequests();
        var news = new HashCode();
        var count = 0;
        var losses = 0;
        var tap = new ReturnPathTap(requests, (type, value) =>
        {
            Oracle.Holds(Enum.IsDefined(type));
            news.Add((type, value));
            count++;
        }, static () => { }, static _ => { }, _ => losses++);
        for (var at = 0; at < bytes.Length; at += piece)
        {
            tap.Take(bytes[at..Math.Min(at + piece, bytes.Length)]);
        }

        Oracle.Holds(losses == (tap.IsLost ? 1 : 0) && requests.Count <= PageRequests.MaxRequests);
        return $"{count} news ({news.ToHashCode():x8}), {requests.Count} requests, {tap.UnknownMessages} unknown{(tap.IsLost ? Lost : "")}";
    }
}
