using System.Text.Json;
using DataPlane.Guard.Qmp;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class QmpTextTests
{
    [Theory]
    [InlineData(256, 256)]
    [InlineData(257, 256)]
    [InlineData(100_000, 256)]
    public void A_word_has_256_characters_at_most(int said, int taken) =>
        Assert.Equal(taken, QmpText.Of(JsonSerializer.SerializeToElement(new { word = new string('x', said) }), "word")!.Length);

    [Fact]
    public void A_cut_leaves_no_half_pair()
    {
        var text = QmpText.Cut(new string('x', 255) + "\U0001F600");
        Assert.Equal(new string('x', 255), text);
    }

    /// <summary>An address is put together from words that were cut, and cut again.</summary>
    [Fact]
    public void An_address_with_a_pair_at_its_end_can_be_described()
    {
        var said = JsonSerializer.SerializeToElement(new { type = "unix", path = new string('x', 250) + "\U0001F600" });
        Assert.StartsWith("unix:xxx", IncomingAddress.Describe(said), StringComparison.Ordinal);
    }
}
