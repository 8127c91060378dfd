using DataPlane.Guard;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class GuardRehearsalTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_is_a_whole_migration_and_leaves_nothing_behind()
    {
        string[] before = Folders();

        await GuardRehearsal.MoveNothingAsync(Token).WaitAsync(TimeSpan.FromMinutes(1), Token);

        Assert.Empty(Folders().Except(before));
    }

    private static string[] Folders() => Directory.GetDirectories(Path.GetTempPath(), "dataplane-guard-*");
}
