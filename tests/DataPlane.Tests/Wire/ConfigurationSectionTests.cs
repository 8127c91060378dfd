using System.Buffers;
using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class ConfigurationSectionTests
{
    private const string PageBits = "05 1E \"configuration/target-page-bits\" 00000001 0000000C";
    private const string MappedRam = "05 1A \"configuration/capabilities\" 00 00 00 01  00 00 00 01  0A \"mapped-ram\"";
    private const string Uuid = "05 12 \"configuration/uuid\" 00000001 00112233445566778899aabbccddeeff";
    private const string Machine = "07 00 00 00 0B \"pc-q35-10.0\"";

    private static readonly byte[] s_plain = Hex.Bytes(Machine);
    private static readonly byte[] s_mappedRam = Hex.Bytes(Machine + MappedRam);
    private static readonly byte[] s_everything = Hex.Bytes(Machine + PageBits + MappedRam + Uuid);

    [Fact]
    public void Plain_section_names_the_machine_alone()
    {
        var section = ParseOk([.. s_plain, 0x08]);
        Assert.Equal("pc-q35-10.0", section.MachineName);
        Assert.Empty(section.Capabilities);
        Assert.Null(section.Uuid);
        Assert.Null(section.TargetPageBits);
        Assert.Equal(s_plain, Write(section));
    }

    [Fact]
    public void All_subsections_are_read_and_written_in_the_order_of_QEMU()
    {
        var section = ParseOk([.. s_everything, 0x01]);
        Assert.Equal(12, section.TargetPageBits);
        Assert.True(section.IsMappedRam);
        Assert.False(section.IgnoresShared);
        Assert.Equal(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), section.Uuid);
        Assert.Equal(s_everything, Write(section));
    }

    [Fact]
    public void The_end_needs_one_byte_of_look_ahead()
    {
        foreach (var record in (byte[][])[s_plain, s_mappedRam, s_everything])
        {
            for (var length = 0; length <= record.Length; length++)
            {
                Assert.Equal(OperationStatus.NeedMoreData, Parse(record.AsSpan(0, length), out _, out _));
            }

            for (var next = 0; next < 256; next++)
            {
                if (next == 5)
                {
                    continue;
                }

                Assert.Equal(OperationStatus.Done, Parse([.. record, (byte)next], out var consumed, out _));
                Assert.Equal(record.Length, consumed);
            }
        }
    }

    [Fact]
    public void A_machine_name_has_1_to_255_bytes()
    {
        ParseOk(Hex.Bytes("07 00000001 \"m\" 08"));
        ParseOk([.. Hex.Bytes("07 000000FF"), .. Enumerable.Repeat((byte)'m', 255), 0x08]);
        CodecAssert.Refuses(Hex.Bytes("07 00000000"), Parse, "machine name has 0 bytes");
        CodecAssert.Refuses(Hex.Bytes("07 00000100"), Parse, "machine name has 256 bytes");
        CodecAssert.Refuses(Hex.Bytes("07 FFFFFFFF"), Parse, "machine name has 4294967295 bytes");
    }

    [Theory]
    [InlineData("07 00000003 61 00 62", "not text")]
    [InlineData("07 00000001 FF", "not text")]
    [InlineData("08", "byte 08 instead of the configuration")]
    [InlineData("01", "machine types up to 2.3")]
    [InlineData(Machine + "05 03 \"abc\" 00000001", "unknown or repeated subsection 'abc'")]
    [InlineData(Machine + "05 00 00000001", "unknown or repeated subsection ''")]
    [InlineData(Machine + Uuid + Uuid, "repeated subsection 'configuration/uuid'")]
    [InlineData(Machine + MappedRam + MappedRam, "repeated subsection")]
    [InlineData(Machine + PageBits + PageBits, "repeated subsection")]
    [InlineData(Machine + "05 12 \"configuration/uuid\" 00000002", "version 2")]
    [InlineData(Machine + "05 1E \"configuration/target-page-bits\" 00000001 0000000D", "2^13")]
    [InlineData(Machine + "05 1A \"configuration/capabilities\" 00000001 00000041", "65 capabilities")]
    [InlineData(Machine + "05 1A \"configuration/capabilities\" 00000001 00000001 07 \"multifd\"", "unknown capability 'multifd'")]
    [InlineData(Machine + "05 1A \"configuration/capabilities\" 00000001 00000001 00", "unknown capability ''")]
    public void Wrong_contents_are_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Parse, because);

    [Fact]
    public void Sixty_four_capabilities_are_still_read()
    {
        var name = Hex.Bytes("0F \"x-ignore-shared\"");
        var head = Hex.Bytes(Machine + "05 1A \"configuration/capabilities\" 00000001 00000040");
        byte[] section = [.. head, .. Enumerable.Repeat(name, 64).SelectMany(b => b), 0];
        var parsed = ParseOk(section);
        Assert.Equal(64, parsed.Capabilities.Count);
        Assert.True(parsed.IgnoresShared);
    }

    [Fact]
    public void Round_trip_of_any_section() =>
        Gen.Select(
            Gen.Char.AlphaNumeric.Array[1, 255],
            Gen.OneOf("mapped-ram", "x-ignore-shared").Array[0, 3],
            Gen.Guid.Nullable(),
            Gen.Bool).Sample((name, capabilities, uuid, withBits) =>
        {
            var section = new ConfigurationSection
            {
                MachineName = new string(name),
                Capabilities = capabilities,
                Uuid = uuid,
                TargetPageBits = withBits ? 12 : null,
            };
            var back = ParseOk([.. Write(section), 0x08]);
            return back.MachineName == section.MachineName && back.Capabilities.SequenceEqual(capabilities)
                && back.Uuid == uuid && back.TargetPageBits == section.TargetPageBits;
        });

    [Fact]
    public void Anything_may_arrive() =>
        CodecAssert.SurvivesAnything([[.. s_plain, 8], [.. s_mappedRam, 8], [.. s_everything, 8]], Parse, lookAhead: 1);

    private static OperationStatus Parse(ReadOnlySpan<byte> source, out int consumed, out string? error) =>
        ConfigurationSection.Parse(source, out _, out consumed, out error);

    private static ConfigurationSection ParseOk(byte[] bytes)
    {
        Assert.Equal(OperationStatus.Done, ConfigurationSection.Parse(bytes, out var section, out var consumed, out _));
        Assert.Equal(bytes.Length - 1, consumed);
        return section!;
    }

    private static byte[] Write(ConfigurationSection section)
    {
        var buffer = new ArrayBufferWriter<byte>();
        section.Write(buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
