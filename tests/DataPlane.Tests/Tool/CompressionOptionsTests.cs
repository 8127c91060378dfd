using System.CommandLine;
using DataPlane.Multifd.Compression;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class CompressionOptionsTests
{
    [Theory]
    [InlineData("", CompressionMethod.None, null)]
    [InlineData("--compression none", CompressionMethod.None, null)]
    [InlineData("--compression zlib --level 0", CompressionMethod.Zlib, 0)]
    [InlineData("--compression zlib --level 9", CompressionMethod.Zlib, 9)]
    [InlineData("--compression zstd", CompressionMethod.Zstd, null)]
    [InlineData("--compression zstd --level 20", CompressionMethod.Zstd, 20)]
    public void Method_and_level_are_read(string line, CompressionMethod method, int? level) =>
        Assert.Equal(new CompressionSettings(method, level), Read(line, channels: 4));

    [Theory]
    [InlineData("--compression zlib --level 10", "0 to 9")]
    [InlineData("--compression zstd --level 0", "1 to 20")]
    [InlineData("--level 1", "--compression")]
    public void A_level_that_the_method_does_not_have_is_a_usage_error(string line, string words)
    {
        var error = Assert.Throws<CommandException>(() => Read(line, channels: 4));
        Assert.Equal(ExitCode.Usage, error.ExitCode);
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_channels_there_is_nothing_to_compress() =>
        Assert.Contains(
            "--channels", Assert.Throws<CommandException>(() => Read("--compression zstd", channels: 0)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("--compression lz4", "'lz4' is not one of none|zlib|zstd")]
    [InlineData("--compression ZSTD", "'ZSTD' is not one of none|zlib|zstd")]
    [InlineData("--compression zstd --level 21", "not a number from 0 to 20")]
    public void What_nobody_has_is_refused_with_what_there_is(string line, string words)
    {
        var command = new Command("send");
        new CompressionOptions().AddOptionsTo(command);
        Assert.Contains(command.Parse(line).Errors, error => error.Message.Contains(words, StringComparison.Ordinal));
    }

    private static CompressionSettings Read(string line, int channels)
    {
        var command = new Command("send");
        var options = new CompressionOptions();
        options.AddOptionsTo(command);
        var parsed = command.Parse(line);
        Assert.Empty(parsed.Errors);
        return options.Read(parsed, channels);
    }
}
