namespace DataPlane.QemuTests.Harness;

/// <summary>A `dataplane` command that does one thing and ends.</summary>
internal static class ToolProcess
{
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public static async Task RunAsync(CancellationToken token, params IEnumerable<string> arguments)
    {
        await using var process = await ChildProcess.StartAsync("dataplane", "dotnet", [Repository.Tool, .. arguments]);
        var code = await process.WaitForExitAsync(token: token);
        if (code != 0)
            throw new InvalidOperationException(
                $"exit {code}: {string.Join(" | ", process.Errors.Snapshot().Concat(process.Output.Snapshot()))}");
    }
}
