using DataPlane.Tests.Guard;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Send;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A monitor that says what no QEMU says: it is the word of a process that its guest may have taken over.</summary>
public sealed class WaitingQemuTests : IDisposable
{
    private readonly FakeMonitor _monitor = new();

    public WaitingQemuTests()
    {
        _monitor.Answers["query-status"] = """{"status": "inmigrate"}""";
        _monitor.Answers["query-migrate-capabilities"] = "[]";
        _monitor.Answers["qom-get"] = "\"pc-q35-10.0-machine\"";
        _monitor.Answers["human-monitor-command"] = "\"\"";
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _monitor.Dispose();

    [Theory]
    [InlineData("qom-get")]
    [InlineData("human-monitor-command")]
    public async Task Half_a_surrogate_pair_is_as_good_as_no_answer(string command)
    {
        _monitor.Answers[command] = "\"\\ud800\"";

        var there = await AskAsync();

        Assert.Equal(command == "qom-get" ? null : "pc-q35-10.0", there.Machine);
        Assert.Empty(there.Blocks);
    }

    [Theory]
    [InlineData("""{"status": "\ud800"}""")]
    [InlineData("""{"status": 7}""")]
    [InlineData("{}")]
    [InlineData("[]")]
    public async Task A_state_that_is_no_text_cannot_be_used(string status)
    {
        _monitor.Answers["query-status"] = status;

        var refusal = await Assert.ThrowsAsync<CommandException>(AskAsync);

        Assert.Contains("query-status cannot be used", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_comes_out_in_messages_is_short()
    {
        string much = new('x', 1 << 20);
        _monitor.Answers["query-status"] = $$"""{"status": "{{much}}"}""";
        _monitor.Answers["qom-get"] = $"\"{much}-machine\"";
        _monitor.Answers["query-migrate-parameters"] = $$"""{"multifd-compression": "{{much}}"}""";

        var there = await AskAsync();

        Assert.Equal((256, 256, 256), (there.State.Length, there.Machine!.Length, there.Compression.Length));
    }

    [Fact]
    public async Task So_is_the_reason_of_a_refusal()
    {
        _monitor.Answers["query-status"] = $"error: {new string('x', 1 << 20)}";

        var refusal = await Assert.ThrowsAsync<CommandException>(AskAsync);

        Assert.InRange(refusal.Message.Length, 256, 512);
    }

    private Task<WaitingQemu> AskAsync() => WaitingQemu.AskAsync(_monitor.Address, TimeProvider.System, Token);
}
