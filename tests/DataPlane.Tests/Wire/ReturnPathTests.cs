using System.Buffers;
using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class ReturnPathTests
{
    private static readonly byte[] s_shut = Hex.Bytes("0001 0004 00000000");
    private static readonly byte[] s_pong = Hex.Bytes("0002 0004 00000042");
    private static readonly byte[] s_named = Hex.Bytes("0003 0013 0000000001234000 00001000 06 \"pc.ram\"");
    private static readonly byte[] s_request = Hex.Bytes("0004 000C 0000000000007000 00001000");
    private static readonly byte[] s_bitmap = Hex.Bytes("0005 0007 06 \"pc.ram\"");
    private static readonly byte[] s_resume = Hex.Bytes("0006 0004 00000001");
    private static readonly byte[] s_switchover = Hex.Bytes("0007 0000");

    private static readonly byte[] s_started = Hex.Bytes("0008 0000");
    private static readonly byte[] s_startedWithMore = Hex.Bytes("0008 0003 010203");

    private static byte[][] All => [s_shut, s_pong, s_named, s_request, s_bitmap, s_resume, s_switchover, s_started, s_startedWithMore];

    [Fact]
    public void Messages_are_written_as_documented()
    {
        var bytes = new byte[ReturnPathWriter.MaxSize];
        Assert.Equal(s_shut, bytes[..ReturnPathWriter.WriteShut(bytes, 0)]);
        Assert.Equal(s_pong, bytes[..ReturnPathWriter.WritePong(bytes, 0x42)]);
        Assert.Equal(s_named, bytes[..ReturnPathWriter.WriteRequestPages(bytes, "pc.ram"u8, 0x1234000, 4096)]);
        Assert.Equal(s_request, bytes[..ReturnPathWriter.WriteRequestPages(bytes, 0x7000, 4096)]);
        Assert.Equal(s_bitmap, bytes[..ReturnPathWriter.WriteReceivedBitmap(bytes, "pc.ram"u8)]);
        Assert.Equal(s_resume, bytes[..ReturnPathWriter.WriteResumeAck(bytes)]);
        Assert.Equal(s_switchover, bytes[..ReturnPathWriter.WriteSwitchoverAck(bytes)]);
    }

    [Fact]
    public void Messages_are_read_with_their_fields()
    {
        Assert.Equal(0x42u, ParseOk(s_pong).Value);
        Assert.Equal(ReturnPathType.Shut, ParseOk(s_shut).Type);
        var named = ParseOk(s_named);
        Assert.Equal((0x1234000, 4096u), (named.Start, named.Length));
        Assert.True(named.BlockName.SequenceEqual("pc.ram"u8));
        var request = ParseOk(s_request);
        Assert.Equal((0x7000, 4096u), (request.Start, request.Length));
        Assert.True(request.BlockName.IsEmpty);
        Assert.True(ParseOk(s_bitmap).BlockName.SequenceEqual("pc.ram"u8));
        Assert.Equal(1u, ParseOk(s_resume).Value);
        Assert.Equal(ReturnPathType.SwitchoverAck, ParseOk(s_switchover).Type);
        Assert.Equal(ReturnPathType.VmStarted, ParseOk(s_started).Type);
        Assert.Equal(ReturnPathType.VmStarted, ParseOk(s_startedWithMore).Type);
    }

    [Fact]
    public void Truncated_anywhere_asks_for_more()
    {
        foreach (var message in All)
        {
            CodecAssert.ParsesOnlyWhole(message, Parse);
        }
    }

    [Theory]
    [InlineData("0000 0000", "unknown return path message 0")]
    [InlineData("0009 0000", "unknown return path message 9")]
    [InlineData("0008 0201", "has 513 bytes, allowed are 512")]
    [InlineData("FFFF 0000", "unknown return path message 65535")]
    [InlineData("0001 0003", "Shut cannot have 3 bytes")]
    [InlineData("0002 0008", "Pong cannot have 8 bytes")]
    [InlineData("0003 000D", "cannot have 13 bytes")]
    [InlineData("0003 010D", "cannot have 269 bytes")]
    [InlineData("0003 0201", "has 513 bytes, allowed are 512")]
    [InlineData("0004 000B", "cannot have 11 bytes")]
    [InlineData("0005 0001", "cannot have 1 bytes")]
    [InlineData("0005 0101", "cannot have 257 bytes")]
    [InlineData("0006 0000", "cannot have 0 bytes")]
    [InlineData("0007 0001", "cannot have 1 bytes")]
    [InlineData("0003 000E 0000000000001000 00001000 02 62", "another length")]
    [InlineData("0003 000F 0000000000001000 00001000 01 62 63", "another length")]
    [InlineData("0003 000E 0000000000001000 00001000 00 62", "another length")]
    [InlineData("0005 0002 02 62", "another length")]
    [InlineData("0004 000C 8000000000000000 00001000", "asks for bytes at 8000000000000000")]
    public void Wrong_types_and_lengths_are_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Parse, because);

    [Fact]
    public void Names_of_1_and_255_bytes_fit()
    {
        foreach (var length in (int[])[1, 255])
        {
            var bytes = new byte[ReturnPathWriter.MaxSize];
            var size = ReturnPathWriter.WriteRequestPages(bytes, new byte[length], 0, 4096);
            CodecAssert.ParsesOnlyWhole(bytes[..size], Parse);
        }
    }

    [Fact]
    public void Round_trip_of_any_request() =>
        Gen.Select(Gen.Byte.Array[0, 255], Gen.Long[0, long.MaxValue], Gen.UInt).Sample((name, start, length) =>
        {
            var bytes = new byte[ReturnPathWriter.MaxSize];
            var size = name.Length == 0
                ? ReturnPathWriter.WriteRequestPages(bytes, start, length)
                : ReturnPathWriter.WriteRequestPages(bytes, name, start, length);
            return ReturnPathMessage.Parse(bytes, out var message, out var consumed, out _) == OperationStatus.Done
                && consumed == size && message.Start == start && message.Length == length && message.BlockName.SequenceEqual(name);
        });

    [Theory]
    [InlineData("0000000000007000 00001000", true)]
    [InlineData("0000000000007000 00000000", true)]
    [InlineData("0000000000000000 00008000", true)]
    [InlineData("0000000000007800 00001000", false)]
    [InlineData("0000000000007000 00000800", false)]
    [InlineData("0000000000007000 00002000", false)]
    [InlineData("0000000000009000 00000000", false)]
    [InlineData("7FFFFFFFFFFFF000 00001000", false)]
    public void Requests_stay_inside_their_block(string hex, bool legal)
    {
        Assert.Equal(legal, ParseOk(Hex.Bytes("0004 000C " + hex)).TryCheckRange(0x8000, out var error));
        Assert.Equal(legal, error is null);
    }

    [Fact]
    public void Anything_may_arrive()
    {
        CodecAssert.SurvivesAnything(All, Parse);
        CodecAssert.SurvivesAnything(All, (ReadOnlySpan<byte> source, out string? error) =>
            ReturnPathHeader.TryRead(source, out _, out error));
    }

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out int consumed, out string? error) =>
        ReturnPathMessage.Parse(source, out _, out consumed, out error);

    private static ReturnPathMessage ParseOk(ReadOnlySpan<byte> bytes)
    {
        Assert.Equal(OperationStatus.Done, ReturnPathMessage.Parse(bytes, out var message, out _, out _));
        return message;
    }
}
