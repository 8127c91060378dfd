using System.Diagnostics;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A bench that is stopped (SIGSTOP) in the middle of its work keeps its connections, and sends nothing any more.</summary>
public sealed class StoppedClientTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("run 2 of", "--wire-only")]
    [InlineData("warm-up, migration", "--channels", "2")]
    [InlineData("warm-up, postcopy", "--postcopy", "--channels", "0")]
    public async Task Others_are_served(string stage, params string[] options)
    {
        // A bench that shares two cores with builds has said nothing for 2 s at times, and was taken for a stopped one.
        using var serve = Start("serve", "--listen", "127.0.0.1:0", "--idle-timeout", "8s");
        using var words = new Words(serve);
        var address = (await words.FindAsync("listening on "))["listening on ".Length..];
        // Slow enough to be in its migrations when it is stopped.
        string[] pace = options.Contains("--wire-only") ? [] : ["--max-bandwidth", "8M"];
        using var stopped = Start(
            ["bench", "--to", address, "--ram", "64M", "--runs", "1000", "--dirty-rate", "0", "--interval", "100ms", .. pace, .. options]);
        try
        {
            using (var said = new Words(stopped))
            {
                await said.FindAsync(stage);
            }

            await ToolProcesses.SignalAsync(stopped, "STOP");
            var ended = await words.FindAsync("session of", "ended early");
            Assert.Matches("has sent nothing for|no message from", ended);

            using var other = Start("bench", "--to", address, "--ram", "16M", "--runs", "1", "--wire-only");
            var error = other.StandardError.ReadToEndAsync(Token);
            var results = other.StandardOutput.ReadToEndAsync(Token);
            await other.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
            Assert.True(other.ExitCode == 0, await error);
            await results;
        }
        finally
        {
            stopped.Kill();
            serve.Kill();
        }
    }

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    /// <summary>The lines of a process's stderr, with a limit for each wait.</summary>
    private sealed class Words(Process process) : IDisposable
    {
        private readonly List<string> _before = [];
        private readonly CancellationTokenSource _end = CancellationTokenSource.CreateLinkedTokenSource(Token);

        public async Task<string> FindAsync(params string[] parts)
        {
            _end.CancelAfter(s_patience);
            try
            {
                while (await process.StandardError.ReadLineAsync(_end.Token) is { } line)
                {
                    if (parts.All(part => line.Contains(part, StringComparison.Ordinal)))
                    {
                        return line;
                    }

                    _before.Add(line);
                }
            }
            catch (OperationCanceledException)
            {
                // The assertion says what there was.
            }

            Assert.Fail($"no line has '{string.Join("' and '", parts)}': {string.Join('\n', _before)}");
            throw new InvalidOperationException();
        }

        public void Dispose() => _end.Dispose();
    }
}
