using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Tool.CommandLine;
using DataPlane.Transport;

namespace DataPlane.Tool.Control;

/// <summary>
/// A Unix socket at which a running command answers. Only the command's own user and root may connect. The socket's file goes with the
/// command.
/// </summary>
internal sealed class ControlSocket : IAsyncDisposable
{
    /// <summary>The most clients that are answered at the same time; others wait until it is their turn.</summary>
    private const int MaxClients = 16;

    private readonly Socket _listener;
    private readonly Func<Socket, CancellationToken, Task> _answer;
    private readonly SemaphoreSlim _places = new(MaxClients);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _serving;

    private ControlSocket(string path, Socket listener, Func<Socket, CancellationToken, Task> answer)
    {
        Path = path;
        _listener = listener;
        _answer = answer;
        _serving = Task.Run(ServeAsync);
    }

    public string Path { get; }

    /// <summary>Opens the socket and listens at once.</summary>
    /// <param name="path">The socket's path; a socket that a killed command has left there is replaced.</param>
    /// <param name="what">What else might answer at the path, for the error message.</param>
    /// <param name="answer">Serves one client, for a limited time; the client's socket is closed afterwards.</param>
    /// <exception cref="CommandException">The socket cannot be made at the path, or somebody answers there.</exception>
    public static ControlSocket Open(string path, string what, Func<Socket, CancellationToken, Task> answer)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException("The rights of a socket file are Unix file modes.");
        }

        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            var full = System.IO.Path.GetFullPath(path);
            RuntimeFolder.Prepare(System.IO.Path.GetDirectoryName(full)!, isOwn: ControlPaths.IsRuntimeFolder(full));
            RemoveDead(full, what);
            listener.Bind(new UnixDomainSocketEndPoint(full));
            File.SetUnixFileMode(full, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            listener.Listen();
            return new ControlSocket(full, listener, answer);
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

    /// <summary>Sends all of an answer, and then the end of the stream.</summary>
    public static async Task SendAsync(Socket client, ReadOnlyMemory<byte> answer, CancellationToken cancellation)
    {
        while (!answer.IsEmpty)
        {
            answer = answer[await client.SendAsync(answer, SocketFlags.None, cancellation).ConfigureAwait(false)..];
        }

        client.Shutdown(SocketShutdown.Send);
    }

    /// <summary>Removes the socket of a command that was killed: nobody answers there, and the name is free.</summary>
    private static void RemoveDead(string path, string what)
    {
        if (!FileFacts.TryRead(path, out var there))
        {
            return;
        }

        if (there.Kind != FileKind.Socket)
        {
            throw new CommandException($"--control {path}: something that is no socket has this name; it stays as it is");
        }

        if (!RuntimeFolder.IsTrusted(there.Owner))
        {
            throw new CommandException($"--control {path}: a socket of another user (number {there.Owner}) has this name");
        }

        switch (SocketSetup.ProbeUnix(path))
        {
            case Errno.ECONNREFUSED or Errno.ENOENT:
                File.Delete(path);
                break;
            case 0 or Errno.EAGAIN:
                throw new CommandException($"--control {path}: another {what} answers there");
            case var errno:
                throw new CommandException($"--control {path}: {Errno.Describe(errno)}");
        }
    }

    private async Task ServeAsync()
    {
        while (true)
        {
            await _places.WaitAsync(_stop.Token).ConfigureAwait(false);
            var client = await PatientAccept.AcceptAsync(_listener, TimeProvider.System, _stop.Token).ConfigureAwait(false);
            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using (client)
        {
            try
            {
                if (RuntimeFolder.IsTrusted(ControlPeer.UserOf(client)))
                {
                    await _answer(client, _stop.Token).ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (exception is SocketException or OperationCanceledException)
            {
                // The client went away, or did not read the answer. The loss is only its own.
            }
            finally
            {
                _places.Release();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // The socket's file is deleted with the listener.
        _listener.Dispose();
        _stop.Dispose();
    }
}
