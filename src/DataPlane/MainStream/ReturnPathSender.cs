using System.IO.Pipelines;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// The destination's messages to the source, on main's other direction (specification, 2-main-stream section 4). One message at a time,
/// from any thread.
/// </summary>
internal sealed class ReturnPathSender(PipeWriter output) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>Answers PING <paramref name="value"/>.</summary>
    public Task SendPongAsync(uint value, CancellationToken cancellationToken) =>
        SendAsync(span => ReturnPathWriter.WritePong(span, value), cancellationToken);

    /// <summary>Lets a source with capability switchover-ack switch over.</summary>
    public Task SendSwitchoverAckAsync(CancellationToken cancellationToken) =>
        SendAsync(ReturnPathWriter.WriteSwitchoverAck, cancellationToken);

    /// <summary>The destination's last word: success is the commit.</summary>
    public Task SendShutAsync(bool success, CancellationToken cancellationToken) =>
        SendAsync(span => ReturnPathWriter.WriteShut(span, success ? 0u : 1u), cancellationToken);

    public void Dispose() => _turn.Dispose();

    private delegate int MessageWriter(Span<byte> destination);

    private async Task SendAsync(MessageWriter write, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            output.Advance(write(output.GetSpan(ReturnPathWriter.MaxSize)));
            await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }
}
