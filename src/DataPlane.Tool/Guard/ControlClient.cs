using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>Asks a guard how its VMs are.</summary>
internal static class ControlClient
{
    // 255 channels of many VMs; whatever is larger is no guard's answer.
    private const int MaxAnswerBytes = 64 << 20;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    /// <returns>Its answer; <see langword="null"/> when no guard lives at the path any more.</returns>
    /// <exception cref="CommandException">Something is there, but it gives no answer that can be understood.</exception>
    public static async Task<ControlAnswer?> AskAsync(string path, TimeProvider time, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(s_patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), either.Token).ConfigureAwait(false);
            byte[] bytes = await ReadAsync(socket, either.Token).ConfigureAwait(false);
            ControlAnswer? answer = JsonSerializer.Deserialize(bytes, ToolJson.Lines.ControlAnswer);
            return answer?.Schema == ControlAnswer.CurrentSchema ? answer
                : throw new CommandException($"{path}: no guard of this version answers there");
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.ConnectionRefused || !File.Exists(path))
        {
            return null;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CommandException($"{path}: no answer within {s_patience.TotalSeconds} s");
        }
        catch (Exception exception) when (exception is SocketException or JsonException or ArgumentException)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }

    private static async Task<byte[]> ReadAsync(Socket socket, CancellationToken cancellation)
    {
        using var answer = new MemoryStream();
        byte[] buffer = new byte[64 * 1024];
        while (true)
        {
            int read = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellation).ConfigureAwait(false);
            if (read == 0)
                return answer.ToArray();
            answer.Write(buffer, 0, read);
            if (answer.Length > MaxAnswerBytes)
                throw new CommandException("the answer of the control socket is too long");
        }
    }
}
