namespace DataPlane.Tests.Embedding;

/// <summary>
/// The host of docs/embedding.md: it sends a <see cref="SmallVm"/>, or takes one in. It uses nothing of the library that is not public.
/// </summary>
internal sealed class EmbeddedHost(int channels, string? tlsFolder) : IProgress<MigrationProgress>
{
    private MigrationProgress? _latest;

    /// <summary>How far the migration is, for whoever asks; null before it has begun.</summary>
    public MigrationProgress? Latest => Volatile.Read(ref _latest);

    public void Report(MigrationProgress value) => Volatile.Write(ref _latest, value);

    /// <summary>Why the migration has failed; null unless it has.</summary>
    public MigrationException? Failure { get; private set; }

    public async Task<GuestOwner> SendAsync(SmallVm vm, ChannelAddress destination, CancellationToken cancellationToken)
    {
        using var credentials = tlsFolder is null ? null : TlsCredentials.FromFolder(tlsFolder, TlsEnd.Client);
        var options = new MigrationSourceOptions
        {
            MultifdChannels = channels,
            Tls = credentials,
            MaxDowntime = TimeSpan.FromMilliseconds(100),
        };
        var source = new MigrationSource(vm, options);
        try
        {
            var report = await source.MigrateAsync(destination, this, cancellationToken);
            return report.Owner;
        }
        catch (MigrationException failure)
        {
            Failure = failure;
            return failure.Owner;
        }
        catch (OperationCanceledException)
        {
            return GuestOwner.Source;
        }
    }

    public async Task<GuestOwner> ReceiveAsync(
        SmallVm vm, ChannelAddress address, Action<ChannelAddress> listening, CancellationToken cancellationToken)
    {
        using var credentials = tlsFolder is null ? null : TlsCredentials.FromFolder(tlsFolder, TlsEnd.Server);
        var options = new MigrationDestinationOptions
        {
            MultifdChannels = channels, // as many as at the source: nothing on the wire says it
            Tls = credentials,
            KeepsWaiting = true, // a connection that is not a source's is closed, and the wait goes on
            MaxRamBytes = 64 << 20,
        };
        await using var destination = new MigrationDestination([address], vm, options);
        listening(destination.LocalAddresses[0]);
        try
        {
            var report = await destination.ReceiveAsync(this, cancellationToken);
            return report.Owner;
        }
        catch (MigrationException failure)
        {
            Failure = failure;
            return failure.Owner;
        }
        catch (OperationCanceledException)
        {
            return GuestOwner.Source;
        }
    }

    public static async Task SettleAsync(SmallVm vm, GuestOwner owner, Func<Task<GuestOwner>> askDestination)
    {
        if (owner == GuestOwner.Unknown)
        {
            owner = await askDestination(); // the guest stands still here for as long as that takes
            if (owner != GuestOwner.Destination)
            {
                vm.Run(); // the destination has started nothing, and never will
            }
        }

        if (owner == GuestOwner.Destination)
        {
            vm.Dispose(); // it runs there: nothing may start it here again
        }
    }

    public async Task<GuestOwner> SendWithinAsync(
        SmallVm vm, ChannelAddress destination, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        cancellation.CancelAfter(limit);
        return await SendAsync(vm, destination, cancellation.Token);
    }

    public static async Task<(GuestOwner Sent, GuestOwner Received)> MoveAsync(
        EmbeddedHost source, SmallVm leaving, EmbeddedHost destination, SmallVm arriving, CancellationToken cancellationToken)
    {
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var address = new TaskCompletionSource<ChannelAddress>(TaskCreationOptions.RunContinuationsAsynchronously);
        var receiving = destination.ReceiveAsync(arriving, ChannelAddress.Parse("127.0.0.1:0"), address.SetResult, waiting.Token);

        var sent = GuestOwner.Source;
        try
        {
            var found = await address.Task.WaitAsync(TimeSpan.FromSeconds(10), cancellationToken);
            sent = await source.SendWithinAsync(leaving, found, TimeSpan.FromMinutes(1), cancellationToken);
        }
        finally
        {
            if (sent == GuestOwner.Source)
            {
                await waiting.CancelAsync(); // the source will not connect any more
            }
        }

        return (sent, await receiving);
    }

    public static async Task MoveInShortAsync(SmallVm vm, SmallVm arriving, CancellationToken cancellationToken)
    {
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], arriving, new());
        var receiving = destination.ReceiveAsync(cancellationToken: cancellationToken);

        var source = new MigrationSource(vm, new());
        await source.MigrateAsync(destination.LocalAddresses[0], cancellationToken: cancellationToken);
        await receiving;
    }
}
