using System.Net.Sockets;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Control;

/// <summary>The client's end of a <see cref="ControlSocket"/>: sends one question and reads one answer.</summary>
internal static class ControlQuestion
{
    // An answer about the 255 channels of many VMs fits; anything larger comes from something else.
    private const int MaxAnswerBytes = 64 << 20;

    /// <summary>The time limit for every answer but that of <c>postcopy resume</c>, which waits for the migration.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    /// <summary>Sends a question to the socket at a path, and reads the answer up to the end of the connection.</summary>
    /// <param name="path">The socket's path.</param>
    /// <param name="question">What is sent first; may be empty.</param>
    /// <param name="patience">How long the answer may take; null for no limit.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The answer; null when no command listens at the path any more.</returns>
    /// <exception cref="CommandException">The socket belongs to another user, or does not answer in time.</exception>
    public static async Task<byte[]?> AskAsync(
        string path, ReadOnlyMemory<byte> question, TimeSpan? patience, TimeProvider time, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(patience ?? Timeout.InfiniteTimeSpan, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), either.Token).ConfigureAwait(false);
            ControlPeer.Check(socket, path);
            if (!question.IsEmpty)
            {
                await ControlSocket.SendAsync(socket, question, either.Token).ConfigureAwait(false);
            }

            return await ReadAsync(socket, either.Token).ConfigureAwait(false);
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.ConnectionRefused || !File.Exists(path))
        {
            return null;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CommandException($"{path}: no answer within {patience!.Value.TotalSeconds} s");
        }
        catch (Exception exception) when (exception is SocketException or ArgumentException)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }

    private static async Task<byte[]> ReadAsync(Socket socket, CancellationToken cancellation)
    {
        using var answer = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (true)
        {
            var read = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellation).ConfigureAwait(false);
            if (read == 0)
            {
                return answer.ToArray();
            }

            answer.Write(buffer, 0, read);
            if (answer.Length > MaxAnswerBytes)
            {
                throw new CommandException("the answer of the control socket is too long");
            }
        }
    }
}
