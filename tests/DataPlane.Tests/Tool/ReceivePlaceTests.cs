using DataPlane.Tests.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>`receive --out` where no VM can go: said before anybody is told to connect.</summary>
public sealed class ReceivePlaceTests : IDisposable
{
    private readonly GuardTestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("", "is a folder")]
    [InlineData("missing/vm", "does not exist")]
    [InlineData("/proc/vm", "no file can be made in '/proc'")]
    [InlineData("/dev/null", "is a device")]
    public async Task A_place_that_cannot_hold_a_VM_is_refused_at_once(string place, string reason)
    {
        var path = Path.IsPathRooted(place) ? place : Path.Combine(_folder.Path, place);

        var run = await ToolRun.RunAsync(
            ["receive", "--listen", "127.0.0.1:0", "--out", path], TestContext.Current.CancellationToken);

        Assert.Equal(1, run.ExitCode);
        var line = Assert.Single(run.ErrorLines);
        Assert.StartsWith($"dataplane receive: --out {path}: ", line, StringComparison.Ordinal);
        Assert.Contains(reason, line, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }
}
