using System.Net.Sockets;
using System.Text;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class SystemdNotifierTests : IDisposable
{
    private readonly GuardTestFolder _folder = new();
    private readonly Socket _systemd = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);

    public void Dispose()
    {
        _systemd.Dispose();
        _folder.Dispose();
    }

    private string Next()
    {
        var message = new byte[1024];
        return Encoding.UTF8.GetString(message, 0, _systemd.Receive(message));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Each_change_is_a_datagram_and_a_status_that_did_not_change_is_none(bool isAbstract)
    {
        var name = isAbstract ? $"@dataplane-test-{Guid.NewGuid():N}" : _folder.File("notify");
        _systemd.Bind(new UnixDomainSocketEndPoint(isAbstract ? '\0' + name[1..] : name));
        using var notifier = new SystemdNotifier(name);
        notifier.Ready();
        Assert.Equal("READY=1", Next());
        notifier.Status("1 VM\nREADY=1");
        Assert.Equal("STATUS=1 VM READY=1", Next());
        notifier.Status("1 VM\nREADY=1");
        notifier.Reloading();
        Assert.Matches("^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]{3,}$", Next());
        notifier.Stopping();
        Assert.Equal("STOPPING=1", Next());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("@")]
    [InlineData("relative")]
    [InlineData("/no/such/socket")]
    public void Without_a_service_manager_nothing_happens(string? path)
    {
        using var notifier = new SystemdNotifier(path);
        notifier.Ready();
        notifier.Status("x");
    }

    [Fact]
    public void A_service_manager_that_went_away_does_not_end_the_guard()
    {
        var name = _folder.File("notify");
        _systemd.Bind(new UnixDomainSocketEndPoint(name));
        using var notifier = new SystemdNotifier(name);
        _systemd.Dispose();
        notifier.Ready();
    }
}
