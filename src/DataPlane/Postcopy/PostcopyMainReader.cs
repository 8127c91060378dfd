using System.Buffers.Binary;
using DataPlane.Memory;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads the main channel behind the switch, or behind a recovery, to its end (specification, 4-postcopy sections 4.1.7 and 4.6.2).
/// <code>
///   [RECV_BITMAP * RESUME]                  a recovered channel begins with these
///   (PART ram | END ram | PING) * EOF byte
/// </code>
/// </summary>
internal sealed class PostcopyMainReader(
    RecordBuffer input, PageRecordReader records, ReceivedPages pages, PageLedger ledger, PostcopyReturnPath returnPath, uint ramSection)
{
    /// <summary>The source of a recovered channel asks for bitmaps first; pages may come when it has said RESUME.</summary>
    public bool Recovering { get; init; }

    /// <summary>Called when the source of a recovered channel has been told that it may go on.</summary>
    public Action? OnResumed { get; init; }

    /// <summary>Reads up to the EOF byte, behind which the source waits for the last word.</summary>
    /// <exception cref="Transport.ChannelException">The stream is broken, or ends before.</exception>
    public void Run()
    {
        var recovering = Recovering;
        while (true)
        {
            input.Fill(1, "the stream: pages are missing");
            var type = (SectionType)input.Available[0];
            switch (type)
            {
                case SectionType.Command:
                    ReadCommand(ref recovering);
                    break;
                case SectionType.Part or SectionType.End when !recovering:
                    ReadPages(type);
                    break;
                case SectionType.EndOfFile when !recovering:
                    input.Advance(1);
                    return;
                default:
                    throw input.Violation($"{type} section (0x{(byte)type:x2}) {(recovering ? "in a recovery" : "in postcopy")}");
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

    private void ReadCommand(ref bool recovering)
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
            case CommandType.ReceivedBitmap when recovering:
                AnswerBitmap(payload[..command.Length]);
                break;
            case CommandType.PostcopyResume when recovering:
                recovering = false;
                returnPath.SendResumeAck();
                returnPath.AllowRequests(ledger);
                OnResumed?.Invoke();
                break;
            default:
                throw input.Violation($"command {command.Type} {(recovering ? "in a recovery" : "in postcopy")}");
        }

        input.Advance(CommandHeader.Size + command.Length);
    }

    private void AnswerBitmap(ReadOnlySpan<byte> payload)
    {
        var reader = new WireReader(payload);
        if (!reader.TryReadName(out var name) || reader.Remaining != 0 || !pages.Memory.TryGetBlock(name, out var block))
        {
            throw input.Violation("a question for the received bitmap of no known block");
        }

        returnPath.SendReceivedBitmap(block, pages.Received(block));
    }
}
