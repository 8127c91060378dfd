using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>Reads the destination's messages at a source that only does precopy.</summary>
/// <param name="stream">The receiving direction of the main channel.</param>
/// <param name="onPong">Called with the value of every PONG.</param>
/// <param name="onVmStarted">Called when the destination reports that its guest runs.</param>
/// <param name="ifSilent">Text for the error message: what it may mean when the return path ends before its first message.</param>
internal sealed class ReturnPathReader(StreamCursor stream, Action<uint> onPong, Action onVmStarted, string ifSilent) : IReturnPathListener
{
    /// <summary>Reads until SHUT and returns its value, which is 0 if the destination has taken the guest over.</summary>
    /// <exception cref="ChannelException">
    /// The return path ends without SHUT, or carries a message that is not allowed in precopy.
    /// </exception>
    public Task<uint> ReadToShutAsync(CancellationToken cancellationToken)
    {
        stream.Cancellation = cancellationToken;
        return ReturnPathMessages.ReadToShutAsync(stream, this);
    }

    void IReturnPathListener.Take(ReturnPathMessage message, StreamCursor from)
    {
        switch (message.Type)
        {
            case ReturnPathType.Pong:
                onPong(message.Value);
                break;
            case ReturnPathType.VmStarted:
                onVmStarted();
                break;
            case ReturnPathType.SwitchoverAck:
                break;
            default:
                throw ChannelException.Violation(from.Channel, $"return path message {message.Type} in precopy");
        }
    }

    ChannelException IReturnPathListener.Closed(bool hasAnswered) => new(
        FailureReason.PeerClosed, stream.Channel, $"the destination closed the return path {WithoutShut(hasAnswered)}");

    ChannelException? IReturnPathListener.Explain(ChannelException failure, bool hasAnswered) =>
        failure.Reason != FailureReason.PeerReset ? null : new ChannelException(
            failure.Reason, stream.Channel, $"the destination broke the return path off {WithoutShut(hasAnswered)}", failure);

    private string WithoutShut(bool hasAnswered) =>
        $"without SHUT{(hasAnswered ? "" : $", before it answered anything: {ifSilent}")}; its own log says why";
}
