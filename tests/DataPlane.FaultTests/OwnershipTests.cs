using System.Collections.Concurrent;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.FaultTests;

/// <summary>Whatever the network does: at most one side has the guest, nobody hangs, nothing is left behind.</summary>
public sealed class OwnershipTests
{
    private static readonly ConcurrentDictionary<int, CleanRun> s_cleanRuns = new();

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 40)];

    public static TheoryData<int> ManySeeds => [.. Enumerable.Range(1001, 500)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public Task Exactly_one_side_has_the_guest(int seed) => CheckAsync(seed);

    [Theory(Explicit = true)]
    [MemberData(nameof(ManySeeds))]
    public Task Exactly_one_side_has_the_guest_in_a_long_run(int seed) => CheckAsync(seed);

    private static async Task CheckAsync(int seed)
    {
        for (var channels = 0; channels <= 4; channels += 4)
        {
            if (!s_cleanRuns.ContainsKey(channels))
            {
                s_cleanRuns[channels] = await FaultyMigration.RunCleanAsync(channels);
            }
        }

        var fault = FaultCase.Choose(seed, channels => s_cleanRuns[channels]);
        var descriptors = Descriptors.Targets().Count;
        using (var migration = await FaultyMigration.RunAsync(fault))
        {
            var story = $"{fault}\nsource: {migration.Source}\ndestination: {migration.Destination}";
            CheckOwner(migration, story);
            CheckSource(migration, story);
            CheckDestination(migration, story);
            CheckContents(migration, fault, story);
            Assert.True(!migration.Leaks.Any(), $"{story}\n{string.Join("\n", migration.Leaks)}");
        }

        await Eventually.TrueAsync(
            () => Descriptors.Targets().Count <= descriptors,
            $"{fault}: no more descriptors than before", TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => !Threads().Any(), $"{fault}: all threads ended", TestContext.Current.CancellationToken);
    }

    private static void CheckOwner(FaultyMigration migration, string story)
    {
        Assert.False(migration.Guest.IsRunning && migration.Incoming.Started, $"two owners\n{story}");
        // Stricter: once committed, even a destination that could not say so may be told by its operator to start.
        Assert.False(
            migration.Guest.IsRunning && migration.Incoming.Committed, $"the guest runs on though the destination has committed\n{story}");
    }

    private static void CheckSource(FaultyMigration migration, string story)
    {
        var source = migration.Source;
        Assert.True(source.Succeeded || source.IsUnknown || migration.Guest.IsRunning, $"no owner\n{story}");
        Assert.True(!source.Succeeded || migration.Incoming.Started, $"the source is done, but the guest did not start\n{story}");
        if (source.IsUnknown)
        {
            Assert.Equal(MigrationPhase.Commit, source.Failure!.Phase);
            Assert.True(migration.Guest.Resumed == 0, $"resumed\n{story}");
        }
    }

    private static void CheckDestination(FaultyMigration migration, string story)
    {
        var (source, destination, incoming) = (migration.Source, migration.Destination, migration.Incoming);
        Assert.True(destination.Succeeded == incoming.Started, story);
        Assert.True(!destination.Succeeded || source.Succeeded || source.IsUnknown, story);
        Assert.True(destination.Succeeded || incoming.Memory is null || incoming.Abandoned is not null, $"not abandoned\n{story}");
        Assert.True(!destination.Succeeded || incoming.Abandoned is null, $"abandoned\n{story}");
        Assert.True(!destination.IsUnknown || incoming.Committed, story);
    }

    private static void CheckContents(FaultyMigration migration, FaultCase fault, string story)
    {
        Assert.True(!fault.IsHarmless || migration.Source.Succeeded && migration.Destination.Succeeded, story);
        if (fault.Kind != FaultKind.Corrupt && migration.Incoming.Committed)
        {
            // A destination that has committed has had every byte.
            Assert.Equal(s_cleanRuns[fault.Channels].MainBytes, migration.ForwardBytes[0]);
        }

        if (migration.Incoming.Committed)
        {
            // Nothing protects contents from a network that changes them; but one byte changes its own page, or which page it belongs to.
            // What is decompressed later may refer to it.
            var differences = migration.Incoming.DifferencesFrom(migration.Guest.Memory);
            var most = fault.Kind != FaultKind.Corrupt ? 0 : fault.Compression == CompressionMethod.None ? 2 : int.MaxValue;
            Assert.True(differences.Count <= most, $"{string.Join(", ", differences)}\n{story}");
        }
    }

    /// <summary>Threads of the product: their names begin with dp-.</summary>
    internal static IEnumerable<string> Threads()
    {
        foreach (var task in Directory.GetDirectories("/proc/self/task"))
        {
            var name = "";
            try
            {
                name = File.ReadAllText(Path.Combine(task, "comm"));
            }
            catch (IOException)
            {
                // Ended meanwhile.
            }

            if (name.StartsWith("dp-", StringComparison.Ordinal))
            {
                yield return name;
            }
        }
    }
}
