using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>When SWITCHOVER_ACK is due: never to who fails on it, always to who may wait for it, as far as anybody can know.</summary>
public sealed class SwitchoverAckTests
{
    [Theory]
    // The machine type proves a source that knows the message, and waits for one.
    [InlineData("pc-q35-8.1", null, null, true)]
    [InlineData("pc-q35-10.0", null, null, true)]
    [InlineData("pc-q35-11.0", null, null, true)]
    [InlineData("pc-q35-9.2+pve1", null, null, true)]
    // One that waits only for what its devices ask for.
    [InlineData("pc-q35-11.1", null, null, false)]
    [InlineData("pc-q35-11.1", null, "11.1", false)]
    // QEMU 7.2 and 8.0 do not know it; a newer one may have their machine types.
    [InlineData("pc-q35-7.2", null, null, false)]
    [InlineData("pc-q35-8.0", null, null, false)]
    [InlineData("pc-q35-7.2", null, "7.2", false)]
    [InlineData("pc-q35-7.2", null, "8.0", false)]
    [InlineData("pc-q35-7.2", null, "8.1", true)]
    [InlineData("pc-q35-8.0", null, "11.1", true)]
    // A name without a version: what somebody says.
    [InlineData("pc-q35-noble", null, null, false)]
    [InlineData("pc-q35-noble", null, "8.0", false)]
    [InlineData("pc-q35-noble", null, "8.2", true)]
    [InlineData("pc-q35-noble", null, "11.0", true)]
    [InlineData("pc-q35-noble", null, "11.1", false)]
    [InlineData("pc-q35-rhel9.4.0", "pc-q35-8.2", null, true)]
    [InlineData("pc-q35-rhel9.4.0", "pc-q35-8.2", "11.1", true)]
    [InlineData("pc-q35-rhel9.4.0", "pc-q35-7.2", null, false)]
    [InlineData("pc-q35-rhel9.4.0", "pc-q35-11.1", "11.1", false)]
    // A source of this library waits for nothing.
    [InlineData("dataplane-bench-10.0", null, null, false)]
    [InlineData("dataplane-bench-10.0", "pc-q35-8.2", "8.2", false)]
    public void It_is_due(string announced, string? machine, string? peer, bool expected) =>
        Assert.Equal(
            expected, QemuCompatibility.OfSource(announced, machine, peer is null ? null : Version.Parse(peer)).AwaitsSwitchoverAck);
}
