using System.Buffers;
using System.Text;
using DataPlane.Guard.Qmp;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class QmpMessageTests
{
    [Theory]
    [InlineData("""{"QMP": {"version": {}}}""", QmpMessageKind.Greeting, "", 0)]
    [InlineData("""{"event": "MIGRATION", "data": {"status": "active"}}""", QmpMessageKind.Event, "MIGRATION", 0)]
    [InlineData("""{"event": "STOP"}""", QmpMessageKind.Event, "STOP", 0)]
    [InlineData("""{"return": {}, "id": 7}""", QmpMessageKind.Answer, "", 7)]
    [InlineData("""{"error": {"desc": "no"}, "id": 8}""", QmpMessageKind.Answer, "", 8)]
    [InlineData("""{"return": {}}""", QmpMessageKind.Other, "", 0)]
    public void A_line_is_what_its_fields_say(string line, object kind, string name, int id)
    {
        var message = Read(line);
        Assert.Equal((kind, name, id), (message.Kind, message.Event, message.Id));
    }

    /// <summary>
    /// A QEMU that its guest has taken over says anything. Numbers that are no id threw FormatException, which the client's reader did not
    /// expect: it ended without a word to those who waited for answers.
    /// </summary>
    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("""{"event": 7}""")]
    [InlineData("""{"event": {}}""")]
    [InlineData("""{"id": "7"}""")]
    [InlineData("""{"id": 1.5}""")]
    [InlineData("""{"id": 9999999999}""")]
    [InlineData("""{"id": 1e400}""")]
    [InlineData("""{"id": null}""")]
    public void A_line_that_is_none_is_refused_in_one_way(string line) => Assert.Throws<QmpException>(() => Read(line));

    [Fact]
    public void Text_that_is_not_UTF8_is_refused_in_the_same_way() =>
        Assert.Throws<QmpException>(() => QmpMessage.Read(new ReadOnlySequence<byte>([.. "{\"event\": \""u8, 0xFF, .. "\"}"u8])));

    private static QmpMessage Read(string line) => QmpMessage.Read(new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(line)));
}
