using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>
/// The control socket of a guard: whoever connects gets the state of its VMs as one line of JSON, and the end. Only the guard's own user
/// may connect, and nothing can be changed through it.
/// </summary>
internal sealed class ControlServer : IAsyncDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly Socket _listener;
    private readonly Func<IReadOnlyList<VmStatus>> _status;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _serving;

    private ControlServer(string path, Socket listener, Func<IReadOnlyList<VmStatus>> status, TimeProvider time)
    {
        Path = path;
        _listener = listener;
        _status = status;
        _time = time;
        _serving = Task.Run(ServeAsync);
    }

    public string Path { get; }

    /// <exception cref="CommandException">The socket cannot be there, or another guard answers at it.</exception>
    public static ControlServer Open(string path, Func<IReadOnlyList<VmStatus>> status, TimeProvider time)
    {
        if (OperatingSystem.IsWindows())
            throw new PlatformNotSupportedException("The rights of a socket file are Unix file modes.");
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            string full = System.IO.Path.GetFullPath(path);
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(full)!,
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            RemoveDead(full);
            listener.Bind(new UnixDomainSocketEndPoint(full));
            File.SetUnixFileMode(full, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            listener.Listen();
            return new ControlServer(full, listener, status, time);
        }
        catch (Exception exception) when (exception is SocketException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            listener.Dispose();
            throw new CommandException($"--control {path}: {exception.Message}", innerException: exception);
        }
        catch (CommandException)
        {
            listener.Dispose();
            throw;
        }
    }

    /// <summary>A guard that was killed leaves its socket behind: nobody answers there, and the name is free.</summary>
    private static void RemoveDead(string path)
    {
        if (!File.Exists(path))
            return;
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }

        throw new CommandException($"--control {path}: another guard answers there");
    }

    private async Task ServeAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            using Socket client = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            using var deadline = new CancellationTokenSource(s_patience, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, _stop.Token);
            try
            {
                await AnswerAsync(client, either.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is SocketException or OperationCanceledException)
            {
                // The client went away, or did not read: it asked, so it is its loss.
            }
        }
    }

    private async Task AnswerAsync(Socket client, CancellationToken cancellation)
    {
        var answer = new ControlAnswer { DataplaneVersion = ToolVersion.Current, Pid = Environment.ProcessId, Vms = _status() };
        ReadOnlyMemory<byte> rest = JsonSerializer.SerializeToUtf8Bytes(answer, ToolJson.Lines.ControlAnswer);
        while (!rest.IsEmpty)
            rest = rest[await client.SendAsync(rest, SocketFlags.None, cancellation).ConfigureAwait(false)..];
        client.Shutdown(SocketShutdown.Send);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // Its name goes with it.
        _listener.Dispose();
        _stop.Dispose();
    }
}
