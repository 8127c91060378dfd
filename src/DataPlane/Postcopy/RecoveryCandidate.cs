using System.Buffers.Binary;
using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// A connection that begins a recovery (specification, 4-postcopy section 4.6.2): it asks block by block which pages are here, then sends
/// RESUME. Nothing that it sends changes any state of the migration.
/// </summary>
internal sealed class RecoveryCandidate(Channel main, ReceivedPages pages, Action chosen)
{
    private readonly PostcopyReturnPath _returnPath = new();

    /// <summary>The connection.</summary>
    public Channel Main => main;

    /// <summary>To be called when the migration goes on over this connection.</summary>
    public Action Chosen => chosen;

    /// <summary>
    /// Answers everything before RESUME, and returns when RESUME has come. It is answered only once this connection is the link. What came
    /// after it is left to the link's reader.
    /// </summary>
    /// <exception cref="ChannelException">The connection is lost, or sends anything else.</exception>
    public void Answer()
    {
        var stream = PostcopyLink.OpenStream(main);
        _returnPath.Use(main);
        try
        {
            AnswerToResume(stream);
        }
        finally
        {
            stream.LeaveRest();
        }
    }

    private void AnswerToResume(StreamCursor stream)
    {
        while (true)
        {
            stream.Fill(1, "a recovery");
            var type = stream.PeekByte();
            if (type != (byte)SectionType.Command)
            {
                throw stream.Violation($"{(SectionType)type} section (0x{type:x2}) in a recovery");
            }

            var command = stream.ParseCommand();
            var payload = stream.PayloadOf(command);
            var isResume = command.Type == CommandType.PostcopyResume;
            if (!isResume)
            {
                Answer(command, payload, stream);
            }

            stream.Advance(CommandHeader.Size + command.Length);
            if (isResume)
            {
                return;
            }
        }
    }

    private void Answer(CommandHeader command, ReadOnlySpan<byte> payload, StreamCursor stream)
    {
        switch (command.Type)
        {
            case CommandType.Ping:
                _returnPath.SendPong(BinaryPrimitives.ReadUInt32BigEndian(payload));
                break;
            case CommandType.ReceivedBitmap:
                var reader = new WireReader(payload);
                if (!reader.TryReadName(out var name) || reader.Remaining != 0 || !pages.Memory.TryGetBlock(name, out var block))
                {
                    throw stream.Violation("a question for the received bitmap of no known block");
                }

                ReceivedBitmapSender.Send(main, block, pages.Received(block));
                break;
            default:
                throw stream.Violation($"command {command.Type} in a recovery");
        }
    }
}
