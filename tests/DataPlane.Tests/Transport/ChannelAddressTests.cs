using CsCheck;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelAddressTests
{
    [Theory]
    [InlineData("host.example:4444", "host.example", 4444, "host.example:4444")]
    [InlineData("tcp:10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1")]
    [InlineData("[::1]:65535", "::1", 65535, "[::1]:65535")]
    [InlineData("tcp:[fe80::2]:0", "fe80::2", 0, "[fe80::2]:0")]
    [InlineData(":49152", "", 49152, ":49152")]
    [InlineData("tcp::49152", "", 49152, ":49152")]
    [InlineData("tcp:4444", "tcp", 4444, "tcp:4444", false)]
    public void Written_tcp_forms_are_understood(string text, string host, int port, string shortest, bool understood = true)
    {
        var parsed = ChannelAddress.TryParse(text, out var address, out var error);
        Assert.Equal(understood, parsed);
        if (!understood)
        {
            // "tcp:" is always the prefix, so this is a host called 4444 without a port.
            Assert.Contains("no port", error, StringComparison.Ordinal);
            return;
        }

        Assert.Equal(host, address!.Host);
        Assert.Equal(port, address.Port);
        Assert.False(address.IsUnix);
        Assert.Equal(shortest, address.ToString());
        Assert.Equal(address, ChannelAddress.Parse(address.ToString()));
    }

    [Fact]
    public void Unix_paths_keep_every_character()
    {
        var address = ChannelAddress.Parse("unix:/run/vm:1/s k");
        Assert.True(address.IsUnix);
        Assert.Equal("/run/vm:1/s k", address.Path);
        Assert.Equal("unix:/run/vm:1/s k", address.ToString());
    }

    [Theory]
    [InlineData("", "needed")]
    [InlineData("host", "no port")]
    [InlineData("host:", "not a port")]
    [InlineData("host:-1", "not a port")]
    [InlineData("host:+1", "not a port")]
    [InlineData("host: 1", "not a port")]
    [InlineData("host:65536", "not a port")]
    [InlineData("::1:4444", "[v6]:PORT")]
    [InlineData("[::1]", "no port")]
    [InlineData("[::1", "[v6]:PORT")]
    [InlineData("[::1]4444", "[v6]:PORT")]
    [InlineData("[10.0.0.1]:4444", "[v6]:PORT")]
    [InlineData("ho st:1", "not a host")]
    [InlineData("unix:", "needs a path")]
    public void Everything_else_is_refused_with_a_reason(string text, string reason)
    {
        Assert.False(ChannelAddress.TryParse(text, out _, out var error));
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.Equal(error, Assert.Throws<FormatException>(() => ChannelAddress.Parse(text)).Message);
    }

    [Fact]
    public void A_default_port_stands_in_for_a_missing_one_only()
    {
        Assert.True(ChannelAddress.TryParse("host", 7, out var address, out _));
        Assert.Equal(7, address.Port);
        Assert.True(ChannelAddress.TryParse("[::1]", 7, out address, out _));
        Assert.Equal("[::1]:7", address.ToString());
        Assert.True(ChannelAddress.TryParse("host:8", 7, out address, out _));
        Assert.Equal(8, address.Port);
    }

    [Fact]
    public void A_path_of_107_bytes_fits_and_one_of_108_does_not()
    {
        Assert.Equal(107, ChannelAddress.Unix(new string('x', 107)).Path!.Length);
        Assert.Throws<ArgumentException>(() => ChannelAddress.Unix(new string('x', 108)));
        Assert.Throws<ArgumentException>(() => ChannelAddress.Unix(new string('ü', 54)));
    }

    [Fact]
    public void What_is_written_is_read_back_the_same() =>
        Gen.Select(Gen.String[Gen.Char.AlphaNumeric, 0, 20], Gen.Int[0, 65535]).Sample((host, port) =>
        {
            var address = ChannelAddress.Tcp(host, port);
            return ChannelAddress.Parse(address.ToString()) == address && ChannelAddress.Parse($"tcp:{address}") == address;
        });

    [Fact]
    public void No_text_makes_the_parser_throw() =>
        Gen.String[Gen.Char["tcpunix:[]0123456789./ -%"], 0, 30].Sample(text =>
            ChannelAddress.TryParse(text, out var address, out var error)
                ? ChannelAddress.Parse(address.ToString()) == address : error is not null);
}
