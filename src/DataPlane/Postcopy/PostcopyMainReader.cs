using System.Buffers.Binary;
using DataPlane.MainStream;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the main channel to its end after the switch, or after the handshake of a recovery (specification, 4-postcopy section 4.1.7).
/// <code>
///   (PART ram | END ram | PING) * EOF byte
/// </code>
/// </summary>
internal sealed class PostcopyMainReader(
    StreamCursor stream, PageRecordReader records, PostcopyReturnPath returnPath, uint ramSection)
{
    /// <summary>Reads up to the EOF byte, after which the source waits for SHUT.</summary>
    /// <exception cref="Transport.ChannelException">The stream is malformed, or ends before the EOF byte.</exception>
    public void Run()
    {
        while (true)
        {
            stream.Fill(1, "the stream: pages are missing");
            var type = (SectionType)stream.PeekByte();
            switch (type)
            {
                case SectionType.Command:
                    ReadCommand();
                    break;
                case SectionType.Part or SectionType.End:
                    ReadPages(type);
                    break;
                case SectionType.EndOfFile:
                    stream.Advance(1);
                    return;
                default:
                    throw stream.Violation($"{type} section (0x{(byte)type:x2}) in postcopy");
            }
        }
    }

    private void ReadPages(SectionType type)
    {
        var header = stream.Parse<SectionHeader>(SectionHeader.Parse, minSize: 1, SectionHeader.MaxSize, "a section header", out var size);
        if (header.Id != ramSection)
        {
            throw stream.Malformed($"a {type} of section {header.Id}, which was not started");
        }

        stream.Advance(size);
        if (!records.ReadToEnd())
        {
            throw stream.Malformed("the stream ends inside a section");
        }

        stream.ReadFooter(ramSection);
    }

    private void ReadCommand()
    {
        var command = stream.ParseCommand();
        var payload = stream.PayloadOf(command);
        switch (command.Type)
        {
            case CommandType.Ping:
                returnPath.SendPong(BinaryPrimitives.ReadUInt32BigEndian(payload));
                break;
            default:
                throw stream.Violation($"command {command.Type} in postcopy");
        }

        stream.Advance(CommandHeader.Size + command.Length);
    }
}
