using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>
/// The control socket of a guard: a client gets the state of the VMs as one line of JSON, and then the end of the connection. It can change
/// nothing.
/// </summary>
internal sealed class ControlServer : IAsyncDisposable
{
    // The limit for the whole answer, on a machine whose cores a migration keeps busy.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private readonly Func<IReadOnlyList<VmStatus>> _status;
    private readonly TimeProvider _time;
    private readonly ControlSocket _socket;

    private ControlServer(string path, Func<IReadOnlyList<VmStatus>> status, TimeProvider time)
    {
        _status = status;
        _time = time;
        _socket = ControlSocket.Open(path, "guard", AnswerAsync);
    }

    public string Path => _socket.Path;

    /// <exception cref="CommandException">The socket cannot be made at the path, or another guard answers there.</exception>
    public static ControlServer Open(string path, Func<IReadOnlyList<VmStatus>> status, TimeProvider time) => new(path, status, time);

    private async Task AnswerAsync(Socket client, CancellationToken stop)
    {
        using var deadline = new CancellationTokenSource(s_patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, stop);
        var answer = new ControlAnswer { DataplaneVersion = ToolVersion.Current, Pid = Environment.ProcessId, Vms = _status() };
        var bytes = JsonSerializer.SerializeToUtf8Bytes(answer, ToolJson.Lines.ControlAnswer);
        await ControlSocket.SendAsync(client, bytes, either.Token).ConfigureAwait(false);
    }

    public ValueTask DisposeAsync() => _socket.DisposeAsync();
}
