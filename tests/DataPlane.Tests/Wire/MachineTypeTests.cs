using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class MachineTypeTests
{
    [Theory]
    [InlineData("pc-q35-7.2", true, false, false, true, true, false)]
    [InlineData("pc-i440fx-8.0", true, false, false, true, false, false)]
    [InlineData("pc-q35-8.1", false, false, false, true, false, false)]
    [InlineData("pc-q35-8.2", false, false, false, true, false, false)]
    [InlineData("pc-q35-9.0", false, true, false, true, false, false)]
    [InlineData("pc-q35-9.2", false, true, false, true, false, false)]
    [InlineData("pc-q35-10.0", false, true, true, true, false, true)]
    [InlineData("virt-11.0", false, true, true, true, false, true)]
    [InlineData("pc-q35-11.1", false, true, true, false, false, true)]
    [InlineData("pc-q35-2.12", true, false, false, true, true, false)]
    public void The_version_in_the_name_predicts_the_dialect(
        string name, bool everySection, bool zeroInPackets, bool switchoverStart, bool unaskedAck, bool earlyPreempt, bool cleanTls)
    {
        MachineType machine = MachineType.Parse(name);
        Assert.Equal(everySection, machine.SyncsAtEverySection);
        Assert.Equal(zeroInPackets, machine.ZeroPagesInPackets);
        Assert.Equal(switchoverStart, machine.SendsSwitchoverStart);
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
    [InlineData("pc-q35-7.2.1")]
    [InlineData("pc-q35-+7.2")]
    [InlineData("pc-q35-7. 2")]
    [InlineData("pc-q35-99999999999.0")]
    [InlineData("")]
    public void Other_names_predict_nothing(string name)
    {
        MachineType machine = MachineType.Parse(name);
        Assert.Null(machine.Version);
        Assert.Null(machine.SyncsAtEverySection);
        Assert.Null(machine.ZeroPagesInPackets);
        Assert.Null(machine.SendsSwitchoverStart);
        Assert.Equal(name, machine.Name);
    }
}
