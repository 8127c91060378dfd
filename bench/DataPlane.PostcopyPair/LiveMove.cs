using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>One migration between two of ours, over loopback TCP; both ends are in this process.</summary>
internal static class LiveMove
{
    public static async Task<MigrationReport> RunAsync(
        SourceGuest guest, IIncomingGuest incoming, MigrationSourceOptions options, CancellationToken token,
        Func<MigrationSource, IProgress<MigrationProgress>>? watch = null)
    {
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")],
            incoming,
            new MigrationDestinationOptions { Postcopy = options.Postcopy, Preempt = options.Preempt });
        var receiving = destination.ReceiveAsync(cancellationToken: token);
        var source = new MigrationSource(guest, options);
        var sending = source.MigrateAsync(destination.LocalAddresses[0], watch?.Invoke(source), token);
        await (await Task.WhenAny(sending, receiving)).WaitAsync(Patience.Default, token);
        await receiving.WaitAsync(Patience.Default, token);
        return await sending.WaitAsync(Patience.Default, token);
    }
}
