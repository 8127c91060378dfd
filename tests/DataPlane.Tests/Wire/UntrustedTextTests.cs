using System.Text;
using System.Text.Json;
using DataPlane.Guard.Qmp;
using DataPlane.MainStream;
using DataPlane.MainStream.Devices;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class UntrustedTextTests
{
    [Theory]
    [InlineData("\e]52;c;aGk=\a", @"\u001B]52;c;aGk=\u0007")]
    [InlineData("a\u009B31mb", @"a\u009B31mb")]
    [InlineData("a\r\nb\tc\u007F", @"a\u000D\u000Ab\u0009c\u007F")]
    [InlineData("\u202Eexe\u2066\u200F\u061C\u2028", @"\u202Eexe\u2066\u200F\u061C\u2028")]
    [InlineData("naïve 日本 😀 \\", "naïve 日本 😀 \\")]
    public void What_acts_is_escaped_and_all_else_is_kept(string text, string shown) => Assert.Equal(shown, UntrustedText.Escape(text));

    [Fact]
    public void A_json_text_keeps_its_meaning()
    {
        var escaped = UntrustedText.Escape("\"a\u202E\u009B\\\\\u2066b\"");

        Assert.Equal("a\u202E\u009B\\\u2066b", JsonElement.Parse(escaped).GetString());
    }

    [Fact]
    public void What_a_monitor_says_is_escaped_in_the_exception() =>
        Assert.Equal(@"refused: \u001B]0;x\u0007", new QmpException("refused: \e]0;x\a").Message);

    [Fact]
    public void A_run_state_is_printable_or_none()
    {
        var body = new byte[36];
        GlobalState.Write(body, "a\e[2J");
        Assert.Null(GlobalState.Read(body));
        GlobalState.Write(body, "running");
        Assert.Equal("running", GlobalState.Read(body));
    }

    [Fact]
    public void An_early_section_has_a_name_that_can_be_shown()
    {
        var name = Encoding.UTF8.GetBytes("v\e[2J");
        byte[] section = [4, 0, 0, 0, 7, (byte)name.Length, .. name, 0, 0, 0, 0, 0, 0, 0, 1, 0x7E, 0, 0, 0, 7, 1];

        var status = EarlySection.Parse(section, out _, out _, out var error);

        Assert.Equal(System.Buffers.OperationStatus.InvalidData, status);
        Assert.Contains(@"'v\x1B[2J'", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_compressed_page_that_wants_a_dictionary_is_no_page()
    {
        var inflater = new PageInflater();
        byte[] wantsDictionary = [0x78, 0x20, 0, 0, 0, 1, 1, 2, 3, 4];
        wantsDictionary.CopyTo(inflater.Input(wantsDictionary.Length));

        Assert.False(inflater.TryInflate(new byte[TargetPage.Size]));
    }
}
