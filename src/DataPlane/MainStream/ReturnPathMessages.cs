using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the return path at the source until SHUT, the last message of the destination (specification, 2-main-stream section 4), in
/// precopy and in postcopy.
/// </summary>
internal static class ReturnPathMessages
{
    /// <summary>
    /// Reads on a thread of its own until SHUT, and returns its value, which is 0 if the destination has taken the guest over.
    /// </summary>
    /// <exception cref="ChannelException">The return path ends without SHUT, or carries a message that is not legal.</exception>
    public static Task<uint> ReadToShutAsync(StreamCursor stream, IReturnPathListener listener) =>
        OwnThread.RunAsync("dp-return-path", () => ReadToShut(stream, listener));

    private static uint ReadToShut(StreamCursor stream, IReturnPathListener listener)
    {
        try
        {
            while (true)
            {
                // Only the beginning of the next message can be buffered here, so an end at this point means that the destination has
                // closed without SHUT.
                if (!stream.TryFill(1))
                {
                    throw listener.Closed(stream.Position > 0);
                }

                var message = stream.Parse<ReturnPathMessage>(
                    ReturnPathMessage.Parse, ReturnPathHeader.Size, WireLimits.MaxReturnPathMessageBytes + ReturnPathHeader.Size,
                    "a return path message", out var size);
                stream.Advance(size);
                if (message.Type == ReturnPathType.Shut)
                {
                    return message.Value;
                }

                listener.Take(message, stream);
            }
        }
        catch (ChannelException failure) when (listener.Explain(failure, stream.Position > 0) is { } explained)
        {
            throw explained;
        }
        finally
        {
            stream.LeaveRest();
        }
    }
}
