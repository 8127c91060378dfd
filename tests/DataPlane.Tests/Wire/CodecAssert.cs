using System.Buffers;
using CsCheck;
using Xunit;

namespace DataPlane.Tests.Wire;

internal delegate OperationStatus Parser(ReadOnlySpan<byte> source, out int consumed, out string? error);

internal delegate bool FixedReader(ReadOnlySpan<byte> source, out string? error);

/// <summary>What every codec has to bear.</summary>
internal static class CodecAssert
{
    private const long Iterations = 2000;

    /// <summary>The record parses as a whole, after it anything may follow, and every shorter piece of it only asks for more.</summary>
    public static void ParsesOnlyWhole(byte[] record, Parser parse)
    {
        for (var length = 0; length < record.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, parse(record.AsSpan(0, length), out var none, out var noError));
            Assert.Equal(0, none);
            Assert.Null(noError);
        }

        foreach (var source in (byte[][])[record, [.. record, 0x00], [.. record, 0xFF, 0x7E, 0x05]])
        {
            Assert.Equal(OperationStatus.Done, parse(source, out var consumed, out var error));
            Assert.Equal(record.Length, consumed);
            Assert.Null(error);
        }
    }

    public static void Refuses(byte[] record, Parser parse, string because)
    {
        Assert.Equal(OperationStatus.InvalidData, parse(record, out var consumed, out var error));
        Assert.Equal(0, consumed);
        Assert.Contains(because, error, StringComparison.Ordinal);
    }

    public static void RefusesTruncated(byte[] record, FixedReader read)
    {
        for (var length = 0; length < record.Length; length++)
        {
            Assert.False(read(record.AsSpan(0, length), out var tooShort));
            Assert.NotNull(tooShort);
        }

        Assert.True(read(record, out var error), error);
        Assert.Null(error);
    }

    public static void Refuses(byte[] record, FixedReader read, string because)
    {
        Assert.False(read(record, out var error));
        Assert.Contains(because, error, StringComparison.Ordinal);
    }

    /// <summary>
    /// Random bytes and damaged records: no exception, a consistent answer, and an answer that depends on the consumed bytes alone
    /// (plus <paramref name="lookAhead"/>).
    /// </summary>
    public static void SurvivesAnything(byte[][] seeds, Parser parse, int lookAhead = 0)
    {
        Damaged(seeds).Sample(bytes =>
        {
            var status = parse(bytes, out var consumed, out var error);
            var consistent = status switch
            {
                OperationStatus.Done => consumed > 0 && consumed <= bytes.Length && error is null,
                OperationStatus.NeedMoreData => consumed == 0 && error is null,
                _ => consumed == 0 && !string.IsNullOrEmpty(error),
            };
            if (status == OperationStatus.Done)
            {
                var needed = Math.Min(consumed + lookAhead, bytes.Length);
                consistent &= parse(bytes.AsSpan(0, needed), out var again, out _) == OperationStatus.Done && again == consumed;
            }

            return consistent;
        }, iter: Iterations);
    }

    public static void SurvivesAnything(byte[][] seeds, FixedReader read) =>
        Damaged(seeds).Sample(bytes => read(bytes, out var error) == (error is null), iter: Iterations);

    /// <summary>A third pure noise, the rest records with some bytes replaced, cut or doubled.</summary>
    public static Gen<byte[]> Damaged(byte[][] seeds)
    {
        var noise = Gen.Byte.Array[0, 80];
        var damaged = Gen.Select(
            Gen.OneOf(seeds),
            Gen.Select(Gen.Int[0, 4095], Gen.OneOf(Gen.Byte, Gen.OneOf<byte>(0, 1, 5, 0x7F, 0x80, 0xFF))).Array[0, 4],
            Gen.Int[0, 4095],
            Gen.Bool,
            (seed, changes, cut, isCut) =>
            {
                byte[] bytes = [.. seed];
                foreach ((var at, var value) in changes)
                {
                    bytes[at % bytes.Length] = value;
                }

                return isCut ? bytes[..(cut % (bytes.Length + 1))] : bytes;
            });
        return Gen.Frequency((1, noise), (2, damaged));
    }
}
