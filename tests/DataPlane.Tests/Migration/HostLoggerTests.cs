using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.Tests.Guard;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging;
using Xunit;

namespace DataPlane.Tests.Migration;

public sealed class HostLoggerTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_log_that_throws_ends_no_migration(int channels)
    {
        using var guest = TestGuest.Patterned(4 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new() { MultifdChannels = channels }, new BrokenLog<MigrationDestination>());
        var receiving = destination.ReceiveAsync(null, Token);
        var source = new MigrationSource(guest, new() { MultifdChannels = channels }, new BrokenLog<MigrationSource>());

        await source.MigrateAsync(destination.LocalAddresses[0], null, Token);
        await receiving;

        Assert.True(incoming.Started);
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    [Fact]
    public async Task A_log_that_throws_ends_no_guarded_migration()
    {
        await using var scene = await GuardScene.OpenAsync(log: new BrokenLog<GuardedVm>());

        scene.Knock(Opening.Main);

        var qemu = await scene.AcceptAsync();
        Assert.Equal(Opening.Main, await qemu.ReceiveAsync(Opening.Main.Length, Token));
        Assert.Equal(GuardState.Relaying, scene.Guard.Snapshot().State);
    }

    private sealed class BrokenLog<T> : ILogger<T>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => throw new IOException("the disk is full");

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            throw new IOException("the disk is full");
    }
}
