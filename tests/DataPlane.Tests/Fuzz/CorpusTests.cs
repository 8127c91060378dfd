using DataPlane.Fuzz;
using Xunit;

namespace DataPlane.Tests.Fuzz;

/// <summary>Replays the corpus of the fuzzers (tests/DataPlane.Fuzz/Corpus), and what they have found, with the same oracles.</summary>
public sealed class CorpusTests
{
    private const int MaxCorpusBytes = 1 << 20;

    private static readonly string s_corpus = Path.Combine(AppContext.BaseDirectory, "Corpus");

    public static TheoryData<string> Targets => [.. FuzzTargets.All.Select(target => target.Name)];

    [Theory]
    [MemberData(nameof(Targets))]
    public void Every_input_of_the_corpus_keeps_what_its_target_demands(string name)
    {
        using var target = FuzzTargets.Find(name)!();
        var files = Directory.GetFiles(Path.Combine(s_corpus, name));
        Assert.NotEmpty(files);
        foreach (var file in files)
        {
            var input = File.ReadAllBytes(file);
            Assert.True(input.Length <= target.MaxInputBytes, $"{file} is longer than what '{name}' reads");
            var accepted = false;
            var failure = Record.Exception(() => accepted = FuzzRun.Once(target, input));
            Assert.True(failure is null, $"{file}: {failure}");
            // What QEMUs have sent: a reader that refuses it would never get as far again as the corpus has brought the fuzzer.
            Assert.True(accepted || !Path.GetFileName(file).StartsWith("qemu", StringComparison.Ordinal), $"{file} is not accepted");
        }
    }

    /// <summary>The shortest inputs, and every cut of a short one: what a fuzzer tries first.</summary>
    [Theory]
    [MemberData(nameof(Targets))]
    public void A_target_takes_cut_inputs(string name)
    {
        const int Cuts = 48;
        using var target = FuzzTargets.Find(name)!();
        var input = File.ReadAllBytes(Directory.GetFiles(Path.Combine(s_corpus, name)).Order(StringComparer.Ordinal).First());
        for (var length = 0; length < Math.Min(input.Length, Cuts); length++)
        {
            FuzzRun.Once(target, input.AsSpan(0, length));
        }
    }

    [Fact]
    public void The_corpus_is_small_and_has_a_folder_for_every_target_and_for_nothing_else()
    {
        Assert.Equal(FuzzTargets.All.Select(target => target.Name).Order(StringComparer.Ordinal),
            Directory.GetDirectories(s_corpus).Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal));
        Assert.True(
            Directory.GetFiles(s_corpus, "*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length) < MaxCorpusBytes);
    }
}
