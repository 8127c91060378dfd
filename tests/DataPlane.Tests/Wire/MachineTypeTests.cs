using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class MachineTypeTests
{
    [Theory]
    [InlineData("pc-q35-7.2", true, true, false)]
    [InlineData("pc-i440fx-8.0", true, false, false)]
    [InlineData("pc-q35-8.1", true, false, false)]
    [InlineData("pc-q35-8.2", true, false, false)]
    [InlineData("pc-q35-9.0", true, false, false)]
    [InlineData("pc-q35-9.2", true, false, false)]
    [InlineData("pc-q35-10.0", true, false, true)]
    [InlineData("virt-11.0", true, false, true)]
    [InlineData("pc-q35-11.1", false, false, true)]
    [InlineData("pc-q35-2.12", true, true, false)]
    [InlineData("pc-q35-4.0.1", true, true, false)]
    [InlineData("pc-q35-9.2+pve1", true, false, false)]
    [InlineData("pc-i440fx-11.1+pve0", false, false, true)]
    [InlineData("pc-q35-10.0-acme", true, false, true)]
    [InlineData("pc-i440fx-8.1~acme-v2", true, false, false)]
    [InlineData("s390-ccw-virtio-10.1_x", true, false, true)]
    public void The_version_in_the_name_predicts_the_dialect(
        string name, bool unaskedAck, bool earlyPreempt, bool cleanTls)
    {
        var machine = MachineType.Parse(name);
        Assert.Equal(unaskedAck, machine.ExpectsUnaskedSwitchoverAck);
        Assert.Equal(earlyPreempt, machine.ConnectsPreemptEarly);
        Assert.Equal(cleanTls, machine.NeedsCleanTlsTermination);
    }

    [Theory]
    [InlineData("microvm")]
    [InlineData("q35")]
    [InlineData("pc-q35-rhel9.4.0")]
    [InlineData("pc-q35-noble")]
    [InlineData("pc-q35-")]
    [InlineData("-7.2")]
    [InlineData("pc-q35-7.")]
    [InlineData("pc-q35-.2")]
    [InlineData("pc-q35-7.2.")]
    [InlineData("pc-q35-7.2.x")]
    [InlineData("pc-q35-7.2rc1")]
    [InlineData("pc-q35-rhel9.4.0-v2")]
    [InlineData("pc-i440fx-noble-v2")]
    [InlineData("7.2-pc")]
    [InlineData("pc-q35-+7.2")]
    [InlineData("pc-q35-7. 2")]
    [InlineData("pc-q35-99999999999.0")]
    [InlineData("")]
    public void Other_names_predict_nothing(string name)
    {
        var machine = MachineType.Parse(name);
        Assert.Null(machine.Version);
        Assert.Equal(name, machine.Name);
    }
}
