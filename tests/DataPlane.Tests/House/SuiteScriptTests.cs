using System.Diagnostics;
using Xunit;

namespace DataPlane.Tests.House;

/// <summary>What tests/suite.sh, and with it tests/run, makes of what a runner prints, how it ends, and that it does not end.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class SuiteScriptTests : IDisposable
{
    private const string Good = """
        Test run summary: Passed! - Suite.dll (net10.0|x64)
          total: 3
          failed: 0
          succeeded: 3
          skipped: 0
          duration: 1s 200ms
        """;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("dataplane-suite-");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Counts_are_those_of_the_summary()
    {
        var (code, lines) = await RunAsync(Printing(Good, 0));

        Assert.Equal((0, "3 passed, 0 failed, 0 skipped"), (code, lines[^1]));
    }

    [Fact]
    public async Task Suites_are_added()
    {
        var (_, lines) = await RunAsync(Printing(Good, 0), Printing(Good, 0));

        Assert.Equal("6 passed, 0 failed, 0 skipped", lines[^1]);
    }

    [Fact]
    public async Task A_failed_test_is_named_with_its_arguments_and_again_at_the_end()
    {
        var (code, lines) = await RunAsync(Printing("""
            failed Suite.Reads(text: "a (b)") (1s 200ms)
              Assert.Equal() Failure

            Test run summary: Failed! - Suite.dll (net10.0|x64)
              total: 2
              failed: 1
              succeeded: 1
              skipped: 0
            """, 2));

        Assert.Equal((1, "1 passed, 1 failed, 0 skipped"), (code, lines[^1]));
        Assert.Contains("  Assert.Equal() Failure", lines);
        Assert.Equal(["failed:", "  Suite.Reads(text: \"a (b)\")"], lines.SkipWhile(static line => line != "failed:").Take(2));
    }

    [Fact]
    public async Task A_skipped_test_is_named_with_its_reason_and_explicit_ones_are_only_counted()
    {
        var (code, lines) = await RunAsync(Printing("""
            skipped Suite.Large (0ms)
              Not run (due to explicit test filtering)
            skipped Suite.WithQemu (0ms)
              needs root

            Test run summary: Passed! - Suite.dll (net10.0|x64)
              total: 3
              failed: 0
              succeeded: 1
              skipped: 2
            """, 0));

        Assert.Equal((0, "1 passed, 0 failed, 1 skipped"), (code, lines[^1]));
        Assert.Contains("skipped Suite.WithQemu: needs root", lines);
        Assert.Contains("1 explicit tests were left for tests/run --full", lines);
        Assert.DoesNotContain(lines, static line => line.Contains("Suite.Large", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_last_summary_counts_where_a_test_prints_one_too()
    {
        var (_, lines) = await RunAsync(Printing("Test run summary: Passed!\n  total: 9\n  succeeded: 9\n" + Good, 0));

        Assert.Equal("3 passed, 0 failed, 0 skipped", lines[^1]);
    }

    [Theory]
    [InlineData("Unhandled exception. System.Exception", 134)]
    [InlineData("", 0)]
    [InlineData("Test run summary: Passed!\n  total: 3\n  failed: 0\n  succeeded: 2\n  skipped: 0", 0)]
    [InlineData("  total: 3\n  failed: 0\n  succeeded: 3\n  skipped: 0", 0)]
    public async Task A_suite_without_a_true_summary_is_one_failure(string output, int exitCode)
    {
        var (code, lines) = await RunAsync(Printing(output, exitCode));

        Assert.Equal((1, "0 passed, 1 failed, 0 skipped"), (code, lines[^1]));
        Assert.Contains($"FAILED: Suite1 ended with code {exitCode} and without a summary: it crashed, hung or was never built", lines);
    }

    [Fact]
    public async Task A_suite_that_was_not_built_is_one_failure()
    {
        var (code, lines) = await RunAsync(Path.Combine(_folder.FullName, "none"));

        Assert.Equal((1, "0 passed, 1 failed, 0 skipped"), (code, lines[^1]));
    }

    [Fact]
    public async Task A_suite_that_ends_badly_after_its_summary_is_one_failure_more()
    {
        var (code, lines) = await RunAsync(Printing(Good, 139));

        Assert.Equal((1, "3 passed, 1 failed, 0 skipped"), (code, lines[^1]));
        Assert.Contains("FAILED: Suite1 ended with code 139 though none of its tests failed", lines);
    }

    [Fact]
    public async Task A_suite_that_hangs_is_described_and_ended()
    {
        var (code, lines) = await BashAsync($"run_suite Suite1 '{Program("echo begun; sleep 20 & wait")}' 2\nfinish", "bash");

        Assert.Equal((1, "0 passed, 1 failed, 0 skipped"), (code, lines[^1]));
        Assert.Contains("begun", lines);
        Assert.Contains(lines, static line => line.StartsWith("Suite1 has not ended", StringComparison.Ordinal));
        Assert.Contains(lines, static line => line.Contains("sleep 20", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_runner_writes_results_for_other_tools_and_its_output_is_kept()
    {
        await RunAsync(Program($"echo \"$@\"; cat <<'X'\n{Good}\nX"));

        var log = await File.ReadAllLinesAsync(Path.Combine(_folder.FullName, "results", "Suite1.log"), Cancellation);
        Assert.Contains($"--results-directory {_folder.FullName}/results --report-xunit-trx", log[0], StringComparison.Ordinal);
        Assert.Contains("--report-xunit-trx-filename Suite1.trx", log[0], StringComparison.Ordinal);
        Assert.Contains("  succeeded: 3", log);
    }

    [Theory]
    [InlineData("ReadsTests", "A")]
    [InlineData("House.ReadsTests.Reads_it", "A")]
    [InlineData("Reads_it(text: \"of no source\")", "A B")]
    [InlineData("House.WritesTests.Reads_it", "B")]
    [InlineData("(seed: 17)", "A B")]
    [InlineData("ReadsTests.Writes_it", "")]
    public async Task A_filter_needs_the_suites_in_whose_source_its_words_are(string filter, string suites)
    {
        WriteSource("A", "namespace Suite.House; class ReadsTests { void Reads_it(string text) { } }");
        WriteSource("B", "namespace Suite.House; class WritesTests { void Reads_it(string text) { } void Writes_it(int seed) { } }");

        var (_, lines) = await BashAsync($"cd '{_folder.FullName}'; suites_with \"$0\" A B", filter);

        Assert.Equal(suites.Split(' ', StringSplitOptions.RemoveEmptyEntries), lines);
    }

    private void WriteSource(string suite, string source)
    {
        var folder = _folder.CreateSubdirectory($"tests/{suite}");
        File.WriteAllText(Path.Combine(folder.FullName, "Tests.cs"), source);
    }

    private string Printing(string output, int exitCode) => Program($"cat <<'X'\n{output}\nX\nexit {exitCode}");

    private string Program(string body)
    {
        var path = Path.Combine(_folder.FullName, $"program{_folder.GetFiles().Length}");
        File.WriteAllText(path, $"#!/usr/bin/env bash\n{body}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return path;
    }

    private Task<(int Code, string[] Lines)> RunAsync(params string[] programs)
    {
        var runs = programs.Select(static (program, i) => $"run_suite Suite{i + 1} '{program}' 60 --option\n");
        return BashAsync($"{string.Concat(runs)}finish", "bash");
    }

    private async Task<(int Code, string[] Lines)> BashAsync(string script, string name)
    {
        var start = new ProcessStartInfo("bash", ["-c", $"set -uo pipefail\n. '{WorkTree.Root}/tests/suite.sh'\n{script}", name])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["results"] = Path.Combine(_folder.FullName, "results") },
        };
        using var bash = Process.Start(start)!;
        var errors = bash.StandardError.ReadToEndAsync(Cancellation);
        var output = await bash.StandardOutput.ReadToEndAsync(Cancellation);
        await bash.WaitForExitAsync(Cancellation);
        await errors;
        return (bash.ExitCode, output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
