using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class MultifdInitTests
{
    private static readonly byte[] s_first =
        [.. Hex.Bytes("11 22 33 44 00 00 00 01 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00"), .. new byte[39]];

    private static readonly byte[] s_noUuid = [.. Hex.Bytes("11 22 33 44 00 00 00 01"), .. new byte[16], 0x01, .. new byte[39]];

    [Fact]
    public void The_uuid_travels_in_text_order()
    {
        Assert.True(MultifdInit.TryRead(s_first, out var init, out _));
        Assert.Equal(new MultifdInit(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 0), init);
        Assert.Equal(s_first, Write(init));
    }

    [Fact]
    public void A_VM_without_uuid_sends_zeros()
    {
        Assert.True(MultifdInit.TryRead(s_noUuid, out var init, out _));
        Assert.Equal(new MultifdInit(Guid.Empty, 1), init);
        Assert.Equal(s_noUuid, Write(init));
    }

    [Fact]
    public void Truncated_anywhere_is_refused() => CodecAssert.RefusesTruncated(s_first, Read);

    [Theory]
    [InlineData(0, 0x12, "magic 12223344")]
    [InlineData(3, 0x45, "magic 11223345")]
    [InlineData(7, 0x02, "version 2")]
    [InlineData(4, 0x80, "version 2147483649")]
    public void Other_magic_or_version_is_refused(int at, byte value, string because)
    {
        byte[] bytes = [.. s_first];
        bytes[at] = value;
        CodecAssert.Refuses(bytes, Read, because);
    }

    [Fact]
    public void Unused_bytes_are_sent_as_zero_and_not_checked() =>
        Gen.Select(Gen.Int[25, 63], Gen.Byte).Sample((at, value) =>
        {
            byte[] bytes = [.. s_first];
            bytes[at] = value;
            return MultifdInit.TryRead(bytes, out var init, out _) && Write(init).AsSpan().SequenceEqual(s_first);
        });

    [Fact]
    public void Round_trip_of_any_init() =>
        Gen.Select(Gen.Guid, Gen.Byte).Sample((uuid, id) =>
            MultifdInit.TryRead(Write(new MultifdInit(uuid, id)), out var init, out _) && init == new MultifdInit(uuid, id));

    [Fact]
    public void Anything_may_arrive() => CodecAssert.SurvivesAnything([s_first, s_noUuid], Read);

    private static bool Read(ReadOnlySpan<byte> source, out string? error) => MultifdInit.TryRead(source, out _, out error);

    private static byte[] Write(MultifdInit init)
    {
        byte[] bytes = [.. Enumerable.Repeat((byte)0xCC, MultifdInit.Size)];
        init.Write(bytes);
        return bytes;
    }
}
