using System.Net.Sockets;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

[Collection(CountsOfTheProcess.Name)]
public sealed class FailedDialTests : IDisposable
{
    private readonly BlockPool _pool = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _pool.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Failed_dials_leave_no_descriptor_behind()
    {
        using var full = FullListener.On(new UnixDomainSocketEndPoint(_folder + "/s"));
        await FailAsync(full); // what the runtime opens once
        var before = Descriptors.Count;
        for (var i = 0; i < 20; i++)
        {
            await FailAsync(full);
        }

        Assert.InRange(Descriptors.Count - before, int.MinValue, 0);
    }

    private async Task FailAsync(FullListener full)
    {
        await Assert.ThrowsAsync<ChannelException>(() => DialAsync(ChannelAddress.Unix(_folder + "/nobody"), new ChannelOptions()));
        await Assert.ThrowsAsync<ChannelException>(
            () => DialAsync(full.Address, new ChannelOptions { ConnectTimeout = TimeSpan.FromMilliseconds(1) }));
    }

    private Task<Channel> DialAsync(ChannelAddress address, ChannelOptions options) =>
        ChannelDialer.ConnectAsync(address, options, ChannelId.Main, 0, _pool, Token);
}
