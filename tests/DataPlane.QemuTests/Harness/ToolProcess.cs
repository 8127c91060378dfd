namespace DataPlane.QemuTests.Harness;

/// <summary>A `dataplane` command that does one thing and ends.</summary>
internal static class ToolProcess
{
    /// <summary>Runs it; it must succeed.</summary>
    public static async Task RunAsync(CancellationToken token, params IEnumerable<string> arguments)
    {
        await using var process = await ChildProcess.StartAsync("dataplane", "dotnet", [Repository.Tool, .. arguments]);
        var code = await process.WaitForExitAsync(token: token);
        if (code != 0)
        {
            throw new InvalidOperationException(
                $"dataplane ended with {code}: {string.Join('\n', process.Errors.Snapshot().Concat(process.Output.Snapshot()))}");
        }
    }
}
