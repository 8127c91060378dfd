using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DataPlane.QemuTests.Harness;

/// <summary>A running QEMU with the tests' guest, its monitor and its serial port.</summary>
internal sealed partial class QemuProcess : IAsyncDisposable
{
    private readonly ChildProcess _process;
    private readonly QmpClient _monitor;
    private readonly WorkFolder _work;

    private QemuProcess(QemuOptions options, string name, WorkFolder work, ChildProcess process, QmpClient monitor, GuestConsole console)
    {
        Options = options;
        Name = name;
        _work = work;
        _process = process;
        _monitor = monitor;
        Console = console;
    }

    public QemuOptions Options { get; }

    public string Name { get; }

    public GuestConsole Console { get; }

    public int ProcessId => _process.Id;

    public bool HasExited => _process.HasExited;

    public Journal<string> Errors => _process.Errors;

    /// <summary>Starts QEMU; it connects to us, so that nothing has to be polled.</summary>
    public static async Task<QemuProcess> StartAsync(QemuOptions options, WorkFolder work, string name, CancellationToken token)
    {
        var disk = work[$"{name}.disk"];
        options.Disk.Write(disk);
        using var monitorListener = Listen(work[$"{name}.qmp"]);
        using var serialListener = Listen(work[$"{name}.tty"]);
        var arguments = Arguments(options, disk, work[$"{name}.qmp"], work[$"{name}.tty"]);
        if (options.SecondMonitor)
        {
            arguments.AddRange(["-qmp", $"unix:{SecondMonitorIn(work, name)}.early,server=on,wait=off"]);
        }

        var process = await ChildProcess.StartAsync(name, QemuInstallation.RunScript, arguments);
        try
        {
            var serial = await AcceptAsync(serialListener, process, token);
            var monitor = await AcceptAsync(monitorListener, process, token);
            return new QemuProcess(options, name, work, process, await QmpClient.OpenAsync(monitor, name, token),
                new GuestConsole(serial, name));
        }
        catch (Exception error)
        {
            await process.DisposeAsync();
            throw new InvalidOperationException($"{name} did not start: {string.Join(" | ", process.Errors.Snapshot())}", error);
        }
    }

    /// <exception cref="QmpException">QEMU refused it.</exception>
    public Task<JsonElement> ExecuteAsync(string command, JsonObject? arguments, CancellationToken token) =>
        _monitor.ExecuteAsync(command, arguments, token);

    /// <summary>A command that QEMU carries out even while its main loop stands still (exec-oob).</summary>
    /// <exception cref="QmpException">QEMU refused it.</exception>
    public Task<JsonElement> ExecuteOutOfBandAsync(string command, JsonObject? arguments, CancellationToken token) =>
        _monitor.ExecuteAsync(command, arguments, token, outOfBand: true);

    /// <summary>running, paused, postmigrate, inmigrate...</summary>
    public async Task<string> StatusAsync(CancellationToken token) =>
        (await ExecuteAsync("query-status", null, token)).GetProperty("status").GetString()!;

    public Task StopGuestAsync(CancellationToken token) => ExecuteAsync("stop", null, token);

    public Task ContinueGuestAsync(CancellationToken token) => ExecuteAsync("cont", null, token);

    /// <summary>Writes the guest's physical memory from 0 to its end into a file; the guest must stand still.</summary>
    public Task<string> SaveMemoryAsync(CancellationToken token) => SaveMemoryAsync(0, Options.MemoryBytes, token);

    /// <summary>Writes a part of the guest's physical memory into a file; the guest must stand still.</summary>
    public async Task<string> SaveMemoryAsync(long address, long bytes, CancellationToken token)
    {
        var path = _work[$"{Name}.ram-{address:x}"];
        await ExecuteAsync("pmemsave", new JsonObject { ["val"] = address, ["size"] = bytes, ["filename"] = path }, token);
        return path;
    }

    /// <summary>
    /// Gives the second monitor, where QEMU waits for one more client, its name, and returns that: once QEMU has its settings, since a
    /// guard that waits for the next QEMU there asks for them at once.
    /// </summary>
    public string OfferSecondMonitor()
    {
        var path = SecondMonitorIn(_work, Name);
        File.Move(path + ".early", path, overwrite: true);
        return path;
    }

    /// <summary>Its exit code, 128 + n for a signal n.</summary>
    public Task<int> WaitForExitAsync(TimeSpan timeout, CancellationToken token) => _process.WaitForExitAsync(timeout, token);

    /// <summary>Sends a signal to QEMU itself.</summary>
    public void Signal(int signal) => _process.Signal(signal);

    /// <summary>What QEMU has said, for a failed test's output.</summary>
    public string Describe() =>
        $"{Name}: QEMU {Options.Version} {Options.Machine}{_process.Ending}\n  "
        + string.Join("\n  ", Errors.Snapshot().Concat(Console.Lines.TakeLast(3)));

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        await _monitor.DisposeAsync();
    }

    private static List<string> Arguments(QemuOptions options, string disk, string monitor, string serial)
    {
        List<string> arguments =
        [
            options.Version.Label, $"qemu-system-{options.Architecture}",
            "-nodefaults", "-no-user-config", "-display", "none", "-name", "guest,debug-threads=on",
            "-machine", options.Machine, "-accel", "tcg", "-m", options.MemoryMiB.ToString(CultureInfo.InvariantCulture),
            "-chardev", $"socket,id=serial,path={serial}", "-serial", "chardev:serial",
            "-qmp", $"unix:{monitor}",
        ];
        if (options.Architecture == "x86_64" && options.Machine != "none")
        {
            arguments.AddRange(["-drive", $"file={disk},format=raw,if=ide,snapshot=on"]);
        }

        if (options.Uuid is { } uuid)
        {
            arguments.AddRange(["-uuid", uuid.ToString()]);
        }

        if (options.Incoming)
        {
            arguments.AddRange(["-incoming", "defer"]);
        }

        if (options.StayStopped)
        {
            arguments.Add("-S");
        }

        arguments.AddRange(options.Extra);
        return arguments;
    }

    private static string SecondMonitorIn(WorkFolder work, string name) => work[$"{name}.mon"];

    private static Socket Listen(string path)
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        return listener;
    }

    private static async Task<Socket> AcceptAsync(Socket listener, ChildProcess process, CancellationToken token)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(token);
        deadline.CancelAfter(Patience.Default);
        var accepted = listener.AcceptAsync(deadline.Token).AsTask();
        var exited = process.WaitForExitAsync(Patience.Default, deadline.Token);
        if (await Task.WhenAny(accepted, exited) != accepted)
        {
            await deadline.CancelAsync();
            await Task.WhenAny(accepted);
            throw new EndOfStreamException("it ended at once");
        }

        var connection = await accepted;
        await deadline.CancelAsync();
        await Task.WhenAny(exited); // its cancellation is no news
        return connection;
    }
}
