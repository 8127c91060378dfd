using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the main channel to its end after the switch, or after the handshake of a recovery (specification, 4-postcopy section 4.1.7).
/// <code>
///   (PART ram | END ram | PING) * EOF byte
/// </code>
/// </summary>
internal sealed class PostcopyMainReader(
    RecordBuffer input, PageRecordReader records, PostcopyReturnPath returnPath, uint ramSection)
{
    /// <summary>Reads up to the EOF byte, after which the source waits for SHUT.</summary>
    /// <exception cref="Transport.ChannelException">The stream is malformed, or ends before the EOF byte.</exception>
    public void Run()
    {
        while (true)
        {
            input.Fill(1, "the stream: pages are missing");
            var type = (SectionType)input.Available[0];
            switch (type)
            {
                case SectionType.Command:
                    ReadCommand();
                    break;
                case SectionType.Part or SectionType.End:
                    ReadPages(type);
                    break;
                case SectionType.EndOfFile:
                    input.Advance(1);
                    return;
                default:
                    throw input.Violation($"{type} section (0x{(byte)type:x2}) in postcopy");
            }
        }
    }

    private void ReadPages(SectionType type)
    {
        const int HeaderSize = 1 + sizeof(uint);
        input.Fill(HeaderSize, "a section header");
        var id = BinaryPrimitives.ReadUInt32BigEndian(input.Available[1..]);
        if (id != ramSection)
        {
            throw input.Malformed($"a {type} of section {id}, which was not started");
        }

        input.Advance(HeaderSize);
        if (!records.ReadToEnd())
        {
            throw input.Malformed("the stream ends inside a section");
        }

        input.Fill(SectionFooter.Size, "a section footer");
        if (!SectionFooter.TryRead(input.Available, id, out var error))
        {
            throw input.Malformed(error!);
        }

        input.Advance(SectionFooter.Size);
    }

    private void ReadCommand()
    {
        input.Fill(CommandHeader.Size, "a command");
        if (!CommandHeader.TryRead(input.Available, out var command, out var error))
        {
            throw input.Malformed(error!);
        }

        input.Fill(CommandHeader.Size + Math.Min(command.Length, 1 + WireLimits.MaxNameLength), "a command");
        var payload = input.Available[CommandHeader.Size..];
        switch (command.Type)
        {
            case CommandType.Ping:
                returnPath.SendPong(BinaryPrimitives.ReadUInt32BigEndian(payload));
                break;
            default:
                throw input.Violation($"command {command.Type} in postcopy");
        }

        input.Advance(CommandHeader.Size + command.Length);
    }
}
