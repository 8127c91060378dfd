using System.Net.Sockets;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Control;

/// <summary>The other end of a <see cref="ControlSocket"/>: one question, one answer.</summary>
internal static class ControlQuestion
{
    // 255 channels of many VMs; whatever is larger is no answer of ours.
    private const int MaxAnswerBytes = 64 << 20;

    /// <summary>How long an answer may take that needs nothing but to be written down.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    /// <param name="path">The socket.</param>
    /// <param name="question">What is said first; may be nothing.</param>
    /// <param name="patience">How long the answer may take; null for ever.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>Everything up to the end of the connection; null when nobody lives at the path any more.</returns>
    /// <exception cref="CommandException">Something is there, but it does not answer.</exception>
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
