using System.Buffers;
using CsCheck;
using DataPlane.MainStream.Devices;
using DataPlane.Tests.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream.Devices;

public sealed class DeviceStateTests
{
    [Fact]
    public void What_was_wrapped_is_unwrapped_after_the_wire() =>
        Gen.Select(Gen.Byte.Array[0, 300], Gen.OneOf("vmm", "with \"quotes\" and <angles>", "ünïcode")).Sample((body, name) =>
        {
            var wrapped = DeviceState.Wrap(name, body);
            var json = System.Text.Encoding.UTF8.GetString(wrapped.Description.Span);
            byte[] stream = [.. wrapped.Sections.Span, .. DeviceStreamBuilder.Description(json)];
            var done =
                new DeviceStateSplitter().TryFinish(stream, false, out var consumed, out var state, out _) == OperationStatus.Done;
            return done && consumed == stream.Length && state!.Unwrap(name).Span.SequenceEqual(body)
                && wrapped.Unwrap(name).Span.SequenceEqual(body)
                && state.Devices.SequenceEqual(wrapped.Devices);
        });

    [Fact]
    public void Names_of_wrapped_state_are_checked()
    {
        Assert.Throws<ArgumentException>(() => DeviceState.Wrap("", default));
        Assert.Throws<ArgumentException>(() => DeviceState.Wrap("a\nb", default));
        Assert.Throws<ArgumentException>(() => DeviceState.Wrap(new string('a', 256), default));
        Assert.Equal(0, DeviceState.Wrap(new string('a', 255), default).Unwrap(new string('a', 255)).Length);
        Assert.Throws<KeyNotFoundException>(() => DeviceState.Wrap("a", default).Unwrap("b"));
    }

    [Theory]
    [InlineData("running", "paused")]
    [InlineData("paused", "running")]
    [InlineData("running", "running")]
    public void The_run_state_changes_and_nothing_else(string before, string after)
    {
        var state = Guest(GlobalStateBody(before));
        Assert.Equal(before, state.RunState);
        var changed = state.WithRunState(after);
        Assert.Equal(after, changed.RunState);
        Assert.Equal(before, state.RunState);
        Assert.Equal(Guest(GlobalStateBody(after)).Sections.ToArray(), changed.Sections.ToArray());
        Assert.Equal(state.Description.ToArray(), changed.Description.ToArray());
    }

    [Fact]
    public void Other_run_states_are_left_alone()
    {
        var suspended = Guest(GlobalStateBody("suspended"));
        Assert.Equal("suspended", suspended.RunState);
        Assert.Throws<InvalidOperationException>(() => suspended.WithRunState("running"));
        Assert.Throws<ArgumentException>(() => Guest(GlobalStateBody("running")).WithRunState("suspended"));
        var none = DeviceState.Wrap("vmm", new byte[104]);
        Assert.Null(none.RunState);
        Assert.Throws<InvalidOperationException>(() => none.WithRunState("paused"));
    }

    [Theory]
    [InlineData("00 00 00 08")]
    [InlineData("00 00 00 09 \"running\"")]
    [InlineData("00 00 00 00")]
    [InlineData("FF FF FF FF \"running\"")]
    [InlineData("00 00 00 03 FF FE 00")]
    public void A_run_state_that_is_no_text_of_its_length_is_none(string hex)
    {
        var body = new byte[104];
        Hex.Bytes(hex).CopyTo(body, 0);
        Assert.Null(Guest(body).RunState);
    }

    [Fact]
    public void A_body_too_short_or_filled_up_has_no_run_state()
    {
        Assert.Null(Guest(new byte[35]).RunState);
        byte[] filled = [0, 0, 0, 33, .. Enumerable.Repeat((byte)'a', 100)];
        Assert.Null(Guest(filled).RunState);
    }

    private static byte[] GlobalStateBody(string runState)
    {
        var text = System.Text.Encoding.ASCII.GetBytes(runState);
        byte[] body = [0, 0, 0, (byte)(text.Length + 1), .. text, .. new byte[32 - text.Length], .. new byte[68]];
        body[36] = 1;
        body[103] = 0xAB;
        return body;
    }

    private static DeviceState Guest(byte[] globalState)
    {
        var stream = new DeviceStreamBuilder().Add("timer", new byte[24]).Add("globalstate", globalState).Add("last", [1]).Stream;
        Assert.Equal(OperationStatus.Done, new DeviceStateSplitter().TryFinish(stream, false, out _, out var state, out _));
        return state!;
    }
}
