using System.Globalization;
using System.Net;
using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>
/// Strangers that begin a migration before the source comes, each as far as one can without being it: the source's guest arrives all the
/// same, and nothing is reserved for any of them.
/// </summary>
public sealed class ReceiveFalseStartTests : ReceiveTest
{
    private const long Announced = 1L << 30;

    public static TheoryData<string, int> Sources => new(
        from version in QemuVersion.All
        from channels in (int[])[0, 2]
        select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory]
    [MemberData(nameof(Sources))]
    public async Task Whatever_begins_and_does_not_go_on_is_no_migration(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels, Extra = ["--undecided-timeout", "3s"] });
        var port = int.Parse(receive.Uri[(receive.Uri.LastIndexOf(':') + 1)..], CultureInfo.InvariantCulture);
        var target = new StrangerTarget(channels, Guid.Empty, source.Options.MemoryBytes);
        await using var header = await ComeAsync(port, target, StrangerBytes.Main[..8]);
        await using var nine = await ComeAsync(port, target, [.. StrangerBytes.Main[..8], 0xFF]);
        Assert.True(await nine.IsRefusedAsync(Patience.Default), "nine bytes that no source sends");
        await using var wrong = await ComeAsync(port, target, [.. StrangerBytes.Main, 8, 0xFF, 0xFF, 0xFF, 0xFF]);
        Assert.True(await wrong.IsRefusedAsync(Patience.Default), "a command that there is not");
        await using var blocks = await ComeAsync(port, target, StrangerBytes.MainWithBlocks(Announced));
        Assert.True(await blocks.IsRefusedAsync(Patience.Default), "a list of blocks and nothing more");
        Assert.Empty(Directory.GetFileSystemEntries(OutFolder));
        await using var again = await ComeAsync(port, target, StrangerBytes.Main[..8]);

        await source.PrepareMigrationAsync(new MigrationSettings { Channels = channels, ReturnPath = true }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(1, result.Json.GetProperty("refused").GetProperty("garbage").GetInt64());
        Assert.Equal(2, result.Json.GetProperty("refused").GetProperty("false_start").GetInt64());
        using var file = MappedRamFile.Open(OutFile);
        Assert.Null(file.FirstDifference(file.Ram, await source.SaveMemoryAsync(Token)));
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_source_that_comes_while_another_has_the_place_waits_for_it(string version)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Extra = ["--undecided-timeout", "5s"] });
        var port = int.Parse(receive.Uri[(receive.Uri.LastIndexOf(':') + 1)..], CultureInfo.InvariantCulture);
        await using var stranger = await ComeAsync(
            port, new StrangerTarget(0, Guid.Empty, source.Options.MemoryBytes), StrangerBytes.MainWithBlocks(Announced));

        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true }, Token);
        await source.StartMigrationAsync(receive.Uri, Token);
        await source.WaitForMigrationAsync("completed", Token);
        var result = await receive.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(1, result.Json.GetProperty("refused").GetProperty("false_start").GetInt64());
        Assert.True(await stranger.IsRefusedAsync(Patience.Default));
    }

    public static TheoryData<string> Versions => [.. QemuVersion.All.Select(static version => version.Label)];

    private static Task<Stranger> ComeAsync(int port, StrangerTarget target, byte[] bytes) => Stranger.ConnectAsync(
        new StrangerKind("a beginning", _ => bytes), port, target, IPAddress.Parse("127.0.0.66"), Token);
}
