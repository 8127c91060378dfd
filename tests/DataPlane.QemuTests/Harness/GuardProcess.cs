using System.Text.Json;

namespace DataPlane.QemuTests.Harness;

/// <summary>A running `dataplane guard`.</summary>
internal sealed class GuardProcess : IAsyncDisposable
{
    private const string Listening = "listening on ";
    private readonly ChildProcess _process;
    private readonly string _control;

    private GuardProcess(ChildProcess process, string control)
    {
        _process = process;
        _control = control;
    }

    /// <summary>What a source's `migrate` takes.</summary>
    public string Uri { get; private set; } = "";

    public bool HasExited => _process.HasExited;

    public int ProcessId => _process.Id;

    /// <summary>
    /// What it has open, by kind: "socket", "pipe", "anon_inode:[eventpoll]"..., but for files, which the runtime opens as it needs its
    /// own;
    /// and its own threads, "thread dp-...".
    /// </summary>
    public IReadOnlyDictionary<string, int> Belongings()
    {
        var names = Directory.GetFileSystemEntries($"/proc/{ProcessId}/fd").Select(Target).OfType<string>()
            .Concat(Directory.GetDirectories($"/proc/{ProcessId}/task").Select(Thread).OfType<string>());
        return names.CountBy(name => name).ToDictionary(count => count.Key, count => count.Value);

        // Either may be gone by now.
        static string? Target(string descriptor)
        {
            try
            {
                return new FileInfo(descriptor).LinkTarget is { } target && target[0] != '/' ? target.Split(":[")[0] : null;
            }
            catch (IOException)
            {
                return null;
            }
        }

        static string? Thread(string task)
        {
            try
            {
                return File.ReadAllText(Path.Combine(task, "comm")).Trim() is { } name && name.StartsWith("dp-", StringComparison.Ordinal)
                    ? $"thread {name}" : null;
            }
            catch (IOException)
            {
                return null;
            }
        }
    }

    /// <summary>Waits until a guard that runs as a service listens for its next migration.</summary>
    public async Task WaitUntilItListensAsync(CancellationToken token)
    {
        var status = await WaitForStatusAsync(vm => vm.GetProperty("state").GetString() == "waiting", "the next migration", token);
        Uri = $"tcp:{status.GetProperty("listen").GetString()}";
    }

    /// <summary>Starts the command and waits until it listens, which is when QEMU is ready behind it.</summary>
    public static async Task<GuardProcess> StartAsync(GuardOptions options, WorkFolder work, CancellationToken token)
    {
        var control = work["guard.ctl"];
        string[] vm = ["listen", options.Listen, .. options.Monitor is { } monitor ? (string[])["qmp", $"unix:{monitor}"] : []];
        var pairs = vm.Chunk(2);
        string[] what = [.. pairs.SelectMany(pair => (string[])[$"--{pair[0]}", pair[1]])];
        if (options.AsService)
        {
            var file = work["guard.conf"];
            await File.WriteAllLinesAsync(file, ["[vm]", .. pairs.Select(pair => $"{pair[0]} = {pair[1]}")], token);
            what = ["--config", file];
        }

        string[] command = [.. options.Before, "dotnet", Repository.Tool, "guard", "--control", control, .. what, .. options.Extra];
        var guard = new GuardProcess(await ChildProcess.StartAsync("guard", command[0], command[1..]), control);
        try
        {
            var line = await guard._process.Errors.WaitForAsync(
                line => line.StartsWith(Listening, StringComparison.Ordinal), "it listens", token: token);
            guard.Uri = $"tcp:{line[Listening.Length..]}";
            return guard;
        }
        catch
        {
            await guard.DisposeAsync();
            throw;
        }
    }

    /// <summary>What `dataplane guard status` says of the VM.</summary>
    public async Task<JsonElement> StatusAsync(CancellationToken token)
    {
        string[] arguments = [Repository.Tool, "guard", "status", "--control", _control, "--json", "-"];
        await using var status = await ChildProcess.StartAsync("guard status", "dotnet", arguments);
        var code = await status.WaitForExitAsync(token: token);
        if (code != 0)
        {
            throw new InvalidOperationException($"guard status: exit {code}: {string.Join(" | ", status.Errors.Snapshot())}");
        }

        return JsonElement.Parse(string.Join('\n', status.Output.Snapshot())).GetProperty("vms")[0];
    }

    /// <summary>Asks until the VM is as wanted: what the guard counts, it counts a moment after the fact.</summary>
    public async Task<JsonElement> WaitForStatusAsync(Func<JsonElement, bool> match, string what, CancellationToken token)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(token);
        deadline.CancelAfter(Patience.Default);
        for (; ; )
        {
            var status = await StatusAsync(token);
            if (match(status))
            {
                return status;
            }

            if (deadline.IsCancellationRequested)
            {
                throw new TimeoutException($"guard: {what} did not come; last: {status}");
            }
        }
    }

    public void Signal(int signal) => _process.Signal(signal);

    public Task<int> WaitForExitAsync(CancellationToken token) => _process.WaitForExitAsync(token: token);

    /// <summary>What it has written on stderr.</summary>
    public IReadOnlyList<string> Errors => _process.Errors.Snapshot();

    /// <summary>The end of its log. With --verbose a test with all strangers comes to about 200 lines.</summary>
    public string Describe() =>
        $"guard{_process.Ending}:\n  "
        + string.Join("\n  ", _process.Output.Snapshot().Concat(Errors).TakeLast(300));

    public ValueTask DisposeAsync() => _process.DisposeAsync();
}
