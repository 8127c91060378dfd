using DataPlane.TestSupport;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A command that runs in this process until it is stopped.</summary>
internal sealed class RunningTool : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly StringWriter _error = new();
    private readonly TextWriter _guarded;
    private readonly Task<int> _running;

    private RunningTool(IReadOnlyList<string> arguments)
    {
        _guarded = TextWriter.Synchronized(_error);
        var console = new ToolConsole { Out = TextWriter.Null, Error = _guarded };
        _running = DataPlaneCommandLine.RunAsync(arguments, console, _stop.Token);
    }

    public string Said
    {
        get
        {
            lock (_guarded) // as the synchronised writer does
            {
                return _error.ToString();
            }
        }
    }

    public static RunningTool Start(params IReadOnlyList<string> arguments) => new(arguments);

    /// <summary>Where it listens; what it said instead, if it ended.</summary>
    public async Task<ChannelAddress> ListeningAsync()
    {
        await Eventually.TrueAsync(
            () => Said.Contains("listening on ", StringComparison.Ordinal) || _running.IsCompleted, "it listens",
            TestContext.Current.CancellationToken);
        string? line = Said.Split('\n').FirstOrDefault(static line => line.StartsWith("listening on ", StringComparison.Ordinal));
        Assert.True(line is not null, Said);
        return ChannelAddress.Parse(line["listening on ".Length..]);
    }

    public Task<int> EndAsync() => _running.WaitAsync(s_patience, TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.WaitAsync(s_patience);
        _stop.Dispose();
    }
}
