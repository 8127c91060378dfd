using CsCheck;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class IoVecTests
{
    [Fact]
    public void Advancing_leaves_exactly_the_bytes_that_were_not_done() =>
        Gen.Select(Gen.Int[0, 5].Array[0, 12], Gen.Double[0, 1]).Sample((lengths, part) =>
        {
            IoVec[] vectors = [.. lengths.Select((length, i) => new IoVec(i * 100, (nuint)length))];
            List<nint> bytes = [.. Bytes(vectors)];
            var done = (int)(part * bytes.Count);
            var rest = IoVec.Advance(vectors, (nuint)done);
            return Bytes(rest.ToArray()).SequenceEqual(bytes.Skip(done)) && (rest.IsEmpty || rest[0].Length > 0);
        });

    private static IEnumerable<nint> Bytes(IEnumerable<IoVec> vectors) =>
        vectors.SelectMany(v => Enumerable.Range(0, (int)v.Length).Select(i => v.Address + i));
}
