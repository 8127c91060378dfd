using System.Buffers;
using DataPlane.MainStream.Devices;
using DataPlane.Tests.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream.Devices;

public sealed class EarlySectionTests
{
    private const string Name = "0000:00:01.0/virtio-mem-device-early";

    [Theory]
    [InlineData(0x01)]
    [InlineData(0x02)]
    [InlineData(0x03)]
    [InlineData(0x04)]
    [InlineData(0x08)]
    public void It_ends_at_its_footer_when_another_element_follows(byte next)
    {
        var section = DeviceStreamBuilder.Section(Name, [9, 8, 7], id: 0x1F, instance: 2);
        for (var length = 0; length <= section.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, EarlySection.Parse(section.AsSpan(0, length), out _, out _, out _));
        }

        Assert.Equal(
            OperationStatus.Done, EarlySection.Parse([.. section, next, 1, 2, 3], out var parsed, out var consumed, out _));
        Assert.Equal(section.Length, consumed);
        Assert.Equal(section, parsed!.Bytes);
        Assert.Equal((Name, 2u), (parsed.Name, parsed.Instance));
    }

    [Fact]
    public void A_footer_inside_its_body_is_passed_over()
    {
        var section = DeviceStreamBuilder.Section(Name, Hex.Bytes("7E 00 00 00 07 55  7E 00 00 00 07 7E 00 00 00 07 00"));
        Assert.Equal(OperationStatus.Done, EarlySection.Parse([.. section, 0x01], out _, out var consumed, out _));
        Assert.Equal(section.Length, consumed);
    }

    [Fact]
    public void It_has_at_most_1_MiB()
    {
        var headerSize = DeviceStreamBuilder.Section("a", []).Length;
        byte[] fits = [.. DeviceStreamBuilder.Section("a", new byte[EarlySection.MaxSize - headerSize]), 0x01];
        Assert.Equal(OperationStatus.Done, EarlySection.Parse(fits, out _, out var consumed, out _));
        Assert.Equal(EarlySection.MaxSize, consumed);
        byte[] tooLong = [.. DeviceStreamBuilder.Section("a", new byte[EarlySection.MaxSize - headerSize + 1]), 0x01];
        CodecAssert.Refuses(tooLong, Parse, "section 'a' among those of RAM does not end within 1048576 bytes");
    }

    [Theory]
    [InlineData("02 00 00 00 01", "Part section 1 instead of a device section")]
    [InlineData("09", "unknown section type 09")]
    public void Other_elements_are_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Parse, because);

    [Fact]
    public void Anything_may_arrive() =>
        CodecAssert.SurvivesAnything([[.. DeviceStreamBuilder.Section(Name, [1, 2, 3]), 1]], Parse, lookAhead: 1);

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out int consumed, out string? error) =>
        EarlySection.Parse(source, out _, out consumed, out error);
}
