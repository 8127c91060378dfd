using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Receives the messages of the return path at a source, on the thread that reads it, one at a time. It knows which of them are legal.
/// </summary>
internal interface IReturnPathListener
{
    /// <summary>
    /// Takes any message but SHUT. Its block name is valid until <paramref name="stream"/> is read, which is at what follows the message.
    /// </summary>
    /// <exception cref="ChannelException">The message is not legal.</exception>
    void Take(ReturnPathMessage message, StreamCursor stream);

    /// <summary>Creates the error for a destination that closes the return path between two messages, without SHUT.</summary>
    /// <param name="hasAnswered">Whether there was any message.</param>
    ChannelException Closed(bool hasAnswered);

    /// <summary>Explains a failure. Returns null if there is no more to say than the failure does.</summary>
    /// <param name="failure">Why no more can be read.</param>
    /// <param name="hasAnswered">Whether there was any message.</param>
    ChannelException? Explain(ChannelException failure, bool hasAnswered);
}
