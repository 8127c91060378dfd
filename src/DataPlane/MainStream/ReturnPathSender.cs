using System.IO.Pipelines;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Sends the destination's messages to the source on the return path (specification, 2-main-stream section 4). Thread-safe: messages are
/// sent one at a time.
/// </summary>
internal sealed class ReturnPathSender(PipeWriter output) : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>Sends PONG <paramref name="value"/>, which answers the PING with this value.</summary>
    public Task SendPongAsync(uint value, CancellationToken cancellationToken) =>
        SendAsync(span => ReturnPathWriter.WritePong(span, value), cancellationToken);

    /// <summary>Sends the acknowledgement for which a source with capability switchover-ack waits before its switchover.</summary>
    public Task SendSwitchoverAckAsync(CancellationToken cancellationToken) =>
        SendAsync(ReturnPathWriter.WriteSwitchoverAck, cancellationToken);

    /// <summary>Sends SHUT, the last message of the destination: 0 for success, which is the commit, otherwise 1.</summary>
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
