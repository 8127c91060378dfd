using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class CommandTests
{
    private static readonly byte[] s_ping = Hex.Bytes("08 00 02 00 04");

    [Fact]
    public void Commands_of_precopy_are_written_as_documented()
    {
        var bytes = new byte[CommandWriter.MaxSize];
        Assert.Equal(Hex.Bytes("08 00 01 00 00"), bytes[..CommandWriter.WriteOpenReturnPath(bytes)]);
        Assert.Equal(Hex.Bytes("08 00 02 00 04 00 00 00 01"), bytes[..CommandWriter.WritePing(bytes, 1)]);
        Assert.Equal(Hex.Bytes("08 00 0B 00 00"), bytes[..CommandWriter.WriteSwitchoverStart(bytes)]);
        Assert.Equal(
            Hex.Bytes("08 00 03 00 10 0000000000001000 0000000000001000"),
            bytes[..CommandWriter.WritePostcopyAdvise(bytes, new PostcopyAdvise(0x1000))]);
    }

    [Fact]
    public void Truncated_anywhere_is_refused() => CodecAssert.RefusesTruncated(s_ping, Read);

    [Theory]
    [InlineData(1, "0")]
    [InlineData(2, "4")]
    [InlineData(3, "0 16")]
    [InlineData(4, "0")]
    [InlineData(5, "0")]
    [InlineData(6, "20 36 300 65535")]
    [InlineData(7, "4")]
    [InlineData(9, "0")]
    [InlineData(10, "2 7 256")]
    [InlineData(11, "0")]
    public void Each_command_has_its_lengths_and_no_other(int command, string lengths)
    {
        HashSet<int> legal = [.. lengths.Split(' ').Select(int.Parse)];
        foreach (var length in (int[])[.. legal, .. legal.Select(l => l + 1), .. legal.Select(l => l - 1), 0, 1, 3, 5, 8, 15, 17, 257])
        {
            if (length is < 0 or > ushort.MaxValue)
            {
                continue;
            }

            var bytes = new byte[CommandHeader.Size];
            CommandHeader.Write(bytes, (CommandType)command, length);
            var read = CommandHeader.TryRead(bytes, out var header, out var error);
            var inRange = command switch { 6 => length >= 20, 10 => length is >= 2 and <= 256, _ => legal.Contains(length) };
            Assert.Equal(inRange, read);
            if (read)
            {
                Assert.Equal(((CommandType)command, length), (header.Type, header.Length));
            }
            else
            {
                Assert.Contains($"cannot have {length} bytes", error, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData("08 00 00 00 00", "unknown command 0")]
    [InlineData("08 00 0C 00 07", "unknown command 12 with 7 bytes")]
    [InlineData("08 FF FF 00 00", "unknown command 65535")]
    [InlineData("08 00 08 00 00", "COLO is not supported")]
    [InlineData("07 00 01 00 00", "byte 07 instead of a command")]
    public void Unknown_commands_are_refused_by_number(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Read, because);

    [Fact]
    public void Advice_round_trips() =>
        Gen.OneOf<ulong>(0x1000, 0x201000, 0x40000000, 0x40201000).Sample(sizes =>
        {
            var bytes = new byte[PostcopyAdvise.Size];
            new PostcopyAdvise(sizes).Write(bytes);
            return PostcopyAdvise.TryRead(bytes, out var advise, out _) && advise.PageSizes == sizes;
        });

    [Theory]
    [InlineData("0000000000000000 0000000000001000", "page sizes 0")]
    [InlineData("0000000000000800 0000000000001000", "page sizes 800")]
    [InlineData("0000000080001000 0000000000001000", "page sizes 80001000")]
    [InlineData("8000000000001000 0000000000001000", "page sizes")]
    [InlineData("0000000000001000 0000000000002000", "target page size 8192")]
    public void Advice_of_other_page_sizes_is_refused(string hex, string because) =>
        CodecAssert.Refuses(Hex.Bytes(hex), ReadAdvise, because);

    [Fact]
    public void Truncated_advice_is_refused() =>
        CodecAssert.RefusesTruncated(Hex.Bytes("0000000000001000 0000000000001000"), ReadAdvise);

    [Fact]
    public void Anything_may_arrive()
    {
        CodecAssert.SurvivesAnything([s_ping], Read);
        CodecAssert.SurvivesAnything([Hex.Bytes("0000000000001000 0000000000001000")], ReadAdvise);
    }

    private static bool Read(ReadOnlySpan<byte> source, out string? error) => CommandHeader.TryRead(source, out _, out error);

    private static bool ReadAdvise(ReadOnlySpan<byte> source, out string? error) => PostcopyAdvise.TryRead(source, out _, out error);
}
