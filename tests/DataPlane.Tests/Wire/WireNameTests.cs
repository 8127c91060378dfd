using System.Text;
using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class WireNameTests
{
    [Fact]
    public void What_is_decoded_stands_for_exactly_its_bytes() =>
        Gen.Byte.Array[0, 40].Sample(bytes =>
            !WireName.TryDecode(bytes, out var name) || Encoding.UTF8.GetBytes(name).AsSpan().SequenceEqual(bytes));

    [Theory]
    [InlineData("")]
    [InlineData("61 00")]
    [InlineData("61 0A 62")]
    [InlineData("1F")]
    [InlineData("7F")]
    [InlineData("FF")]
    [InlineData("C0 80")]
    [InlineData("ED A0 80")]
    [InlineData("61 C2 9B")]
    [InlineData("E2 80 AE 61")]
    [InlineData("E2 81 A6")]
    public void Control_characters_and_broken_text_are_no_names(string hex) => Assert.False(WireName.TryDecode(Hex.Bytes(hex), out _));

    [Fact]
    public void Names_of_QEMU_are_text()
    {
        Assert.True(WireName.TryDecode("/rom@etc/acpi/tables"u8, out var name));
        Assert.Equal("/rom@etc/acpi/tables", name);
    }

    [Fact]
    public void Quoted_bytes_cannot_forge_a_line() =>
        Assert.Equal(@"'a\x0Ab\x27\x5C\xFF'", WireName.Quote(Hex.Bytes("61 0A 62 27 5C FF")));
}
