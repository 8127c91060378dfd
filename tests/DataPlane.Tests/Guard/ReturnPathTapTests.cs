using CsCheck;
using DataPlane.Guard.ReturnPath;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class ReturnPathTapTests
{
    private static readonly byte[] s_named = [0, 3, 0, 19, 0, 0, 0, 0, 0, 0x0C, 0, 0, 0, 0, 0x10, 0, 6, .. "pc.ram"u8];
    private static readonly byte[] s_unnamed = [0, 4, 0, 12, 0, 0, 0, 0, 0, 0x0C, 0x10, 0, 0, 0, 0x10, 0];
    private static readonly byte[] s_bitmap =
    [
        0, 5, 0, 7, 6, .. "pc.rom"u8, 0, 0, 0, 0, 0, 0, 0, 8,
        0xFF, 0xFF, 0, 4, 0, 12, 0, 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF,
    ];

    private static readonly byte[] s_resumed = [0, 6, 0, 4, 0, 0, 0, 1];
    private static readonly byte[] s_pong = [0, 2, 0, 4, 0, 0, 0, 0x42];
    private static readonly byte[] s_started = [0, 8, 0, 2, 0xAA, 0xBB];
    private static readonly byte[] s_newer = [0, 9, 0, 0, 0, 99, 0, 5, 0, 1, 0, 4, 0];
    private static readonly byte[] s_shut = [0, 1, 0, 4, 0, 0, 0, 0];

    private readonly List<string> _errors = [];
    private readonly List<ushort> _unknown = [];
    private readonly PageRequests _requests = new();
    private readonly List<(ReturnPathType Type, uint Value)> _news = [];

    [Fact]
    public void Every_message_is_understood_however_the_bytes_are_split()
    {
        byte[] all = [.. s_pong, .. s_named, .. s_unnamed, .. s_bitmap, .. s_bitmap, .. s_resumed, .. s_started, .. s_newer, .. s_shut];
        Gen.Int[1, 40].Array[1, 60].Sample(sizes =>
        {
            PageRequests requests = new();
            List<(ReturnPathType Type, uint Value)> news = [];
            ReturnPathTap tap = new(requests, (type, value) => news.Add((type, value)), static () => { }, _ => { }, Assert.Fail);
            var start = 0;
            for (var i = 0; start < all.Length; i++)
            {
                var size = Math.Min(sizes[i % sizes.Length], all.Length - start);
                tap.Take(all.AsSpan(start, size));
                start += size;
            }

            Assert.Null(tap.Error);
            Assert.Equal(2, tap.UnknownMessages);
            Assert.Equal(2, requests.Count);
            Assert.True(requests.Contains("pc.ram"u8, 0xC0000));
            Assert.True(requests.Contains("pc.ram"u8, 0xC1000));
            Assert.Equal(
                [
                    (ReturnPathType.Pong, 0x42u), (ReturnPathType.RequestPagesWithName, 0u), (ReturnPathType.ReceivedBitmap, 0u),
                    (ReturnPathType.ReceivedBitmap, 0u), (ReturnPathType.ResumeAck, 1u), (ReturnPathType.VmStarted, 0u),
                    (ReturnPathType.Shut, 0u),
                ],
                news);
        }, iter: 300);
    }

    [Fact]
    public void Only_a_page_that_was_asked_for_is_there()
    {
        Tap().Take(s_named);

        Assert.True(_requests.Contains("pc.ram"u8, 0xC0000));
        Assert.False(_requests.Contains("pc.ram"u8, 0xBF000));
        Assert.False(_requests.Contains("pc.ram"u8, 0xC1000));
        Assert.False(_requests.Contains("pc.rom"u8, 0xC0000));
    }

    [Fact]
    public void A_request_for_a_huge_page_is_one_for_each_of_its_pages()
    {
        _requests.Select("pc.ram"u8);
        _requests.Add(0x200000, 0x200000);

        Assert.True(_requests.Contains("pc.ram"u8, 0x200000));
        Assert.True(_requests.Contains("pc.ram"u8, 0x3FF000));
        Assert.False(_requests.Contains("pc.ram"u8, 0x400000));
        Assert.False(_requests.Contains("pc.ram"u8, 0x1FF000));
    }

    [Fact]
    public void Requests_are_bounded_and_the_block_outlives_a_clear()
    {
        _requests.Select("pc.ram"u8);
        for (long page = 0; page <= PageRequests.MaxRequests; page++)
        {
            _requests.Add(page << 12, 4096);
        }

        Assert.Equal(PageRequests.MaxRequests, _requests.Count);

        _requests.Clear();
        Assert.Equal(0, _requests.Count);
        _requests.Add(0x5000, 4096);
        Assert.True(_requests.Contains("pc.ram"u8, 0x5000));
    }

    [Fact]
    public void The_first_message_of_an_unknown_kind_is_told_and_all_are_counted()
    {
        var tap = Tap();

        tap.Take(s_newer);
        tap.Take(s_pong);

        Assert.Equal([9], _unknown);
        Assert.Equal(2, tap.UnknownMessages);
        Assert.Equal([(ReturnPathType.Pong, 0x42u)], _news);
    }

    [Theory]
    [InlineData(0, 0)] // no kind of any version
    [InlineData(2, 5)] // a PONG that is none
    [InlineData(99, 513)] // longer than any message may be
    public void What_is_not_understood_ends_the_tap_and_nothing_else(byte kind, int length)
    {
        var tap = Tap();

        tap.Take([0, kind, (byte)(length >> 8), (byte)length, .. new byte[length]]);
        tap.Take(s_shut);

        Assert.NotNull(tap.Error);
        Assert.Equal([tap.Error], _errors);
        Assert.Empty(_news);
    }

    [Fact]
    public void Requests_are_of_no_interest_when_the_preempt_channel_is_known()
    {
        var tap = Tap();
        tap.IgnoresRequests = true;

        tap.Take(s_named);

        Assert.Equal(0, _requests.Count);
    }

    private ReturnPathTap Tap() => new(_requests, (type, value) => _news.Add((type, value)), static () => { }, _unknown.Add, _errors.Add);
}
