using DataPlane.Memory;
using DataPlane.Tests.House;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Embedding;

/// <summary>What docs/embedding.md shows is what is compiled here, and it moves a guest.</summary>
public sealed class EmbeddingTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(1);

    [Fact]
    public void Every_snippet_of_the_page_is_in_the_sample()
    {
        var sample = WorkTree.Files(Path.Combine("tests", "DataPlane.Tests", "Embedding"), "*.cs")
            .Where(static path => Path.GetFileName(path) is "EmbeddedHost.cs" or "SmallVm.cs")
            .Select(static path => File.ReadAllLines(path))
            .ToArray();
        var snippets = Snippets();

        Assert.Equal(2, sample.Length);
        Assert.NotEmpty(snippets);
        Assert.All(snippets, snippet =>
            Assert.True(Array.Exists(sample, file => Contains(file, snippet)), $"not in the sample:\n{string.Join('\n', snippet)}"));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(4, false)]
    [InlineData(2, true)]
    public async Task The_host_of_the_page_moves_a_running_guest(int channels, bool withTls)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(s_limit);
        using var authority = withTls ? new TestAuthority() : null;
        using var leaving = SmallVm.Create();
        using var arriving = new SmallVm();
        var source = new EmbeddedHost(channels, authority?.Folder);
        var destination = new EmbeddedHost(channels, authority?.Folder);
        leaving.Run();
        await Eventually.TrueAsync(() => leaving.Steps > 0, "the guest runs at its source", limit.Token);

        var owners = await EmbeddedHost.MoveAsync(source, leaving, destination, arriving, limit.Token);

        Assert.Null(source.Failure);
        Assert.Null(destination.Failure);
        Assert.Equal((GuestOwner.Destination, GuestOwner.Destination), owners);
        Assert.Equal(MigrationPhase.Completed, source.Latest?.Phase);
        Assert.Equal(MigrationPhase.Completed, destination.Latest?.Phase);
        Assert.False(leaving.IsRunning);
        await AssertArrivedAsync(leaving, arriving, limit.Token);
        await EmbeddedHost.SettleAsync(leaving, owners.Sent, static () => throw new InvalidOperationException("the owner is known"));
        Assert.Equal(nint.Zero, leaving.Memory.Blocks[0].Address);
    }

    [Fact]
    public async Task The_shortest_example_moves_a_guest()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(s_limit);
        using var leaving = SmallVm.Create();
        using var arriving = new SmallVm();
        leaving.Run();

        await EmbeddedHost.MoveInShortAsync(leaving, arriving, limit.Token);

        await AssertArrivedAsync(leaving, arriving, limit.Token);
    }

    [Theory]
    [InlineData(GuestOwner.Source, true)]
    [InlineData(GuestOwner.Unknown, true)]
    [InlineData(GuestOwner.Destination, false)]
    public async Task A_guest_whose_owner_is_unknown_runs_where_the_destination_says(GuestOwner answer, bool runsHere)
    {
        using var vm = SmallVm.Create();

        await EmbeddedHost.SettleAsync(vm, GuestOwner.Unknown, () => Task.FromResult(answer));

        Assert.Equal(runsHere, vm.IsRunning);
    }

    private static async Task AssertArrivedAsync(SmallVm leaving, SmallVm arriving, CancellationToken cancellationToken)
    {
        Assert.Equal(leaving.Uuid, arriving.Uuid);
        await Eventually.TrueAsync(() => arriving.Steps > leaving.Steps, "the guest goes on at its destination", cancellationToken);
        await arriving.PauseAsync(cancellationToken);

        // What the guest has done since it arrived, its copy does here: then the two must be the same.
        while (leaving.Steps < arriving.Steps)
        {
            leaving.Step();
        }

        var (sent, received) = (leaving.Memory.Blocks[0], arriving.Memory.Blocks[0]);
        Assert.Equal((sent.Name, sent.Length), (received.Name, received.Length));
        List<long> different = [];
        var zeroPages = 0L;
        for (long page = 0; page < sent.PageCount; page++)
        {
            var offset = page * TargetPage.Size;
            if (!sent.Span(offset, TargetPage.Size).SequenceEqual(received.Span(offset, TargetPage.Size)))
            {
                different.Add(page);
            }

            zeroPages += ZeroPage.IsZero(received.Span(offset, TargetPage.Size)) ? 1 : 0;
        }

        Assert.Empty(different);
        Assert.Equal(sent.PageCount / 2, zeroPages);
    }

    private static bool Contains(string[] file, string[] snippet)
    {
        var wanted = Outdent(snippet);
        for (var first = 0; first + snippet.Length <= file.Length; first++)
        {
            if (Enumerable.SequenceEqual(Outdent(file[first..(first + snippet.Length)]), wanted))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Without the indentation that all lines have in common.</summary>
    private static string[] Outdent(string[] lines)
    {
        var indentation = lines.Where(static line => line.Length > 0)
            .Select(static line => line.Length - line.TrimStart().Length)
            .DefaultIfEmpty()
            .Min();
        return [.. lines.Select(line => line.Length > 0 ? line[indentation..] : line)];
    }

    private static List<string[]> Snippets()
    {
        List<string[]> snippets = [];
        List<string>? open = null;
        foreach (var line in File.ReadLines(Path.Combine(WorkTree.Root, "docs", "embedding.md")))
        {
            if (line.Trim() == "```csharp")
            {
                open = [];
            }
            else if (line.Trim() == "```" && open is not null)
            {
                snippets.Add([.. open]);
                open = null;
            }
            else
            {
                open?.Add(line);
            }
        }

        return snippets;
    }
}
