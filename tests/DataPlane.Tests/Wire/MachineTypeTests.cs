using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class MachineTypeTests
{
    [Theory]
    [InlineData("pc-q35-7.2", "7.2")]
    [InlineData("pc-i440fx-8.0", "8.0")]
    [InlineData("pc-q35-8.1", "8.1")]
    [InlineData("pc-q35-8.2", "8.2")]
    [InlineData("pc-q35-9.0", "9.0")]
    [InlineData("pc-q35-9.2", "9.2")]
    [InlineData("pc-q35-10.0", "10.0")]
    [InlineData("virt-11.0", "11.0")]
    [InlineData("pc-q35-11.1", "11.1")]
    [InlineData("pc-q35-2.12", "2.12")]
    [InlineData("pc-q35-4.0.1", "4.0")]
    [InlineData("pc-q35-9.2+pve1", "9.2")]
    [InlineData("pc-i440fx-11.1+pve0", "11.1")]
    [InlineData("pc-q35-10.0-acme", "10.0")]
    [InlineData("pc-i440fx-8.1~acme-v2", "8.1")]
    [InlineData("s390-ccw-virtio-10.1_x", "10.1")]
    public void The_version_in_the_name_is_found(string name, string version) =>
        Assert.Equal(Version.Parse(version), MachineType.Parse(name).Version);

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
