using System.Buffers.Binary;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>
/// A connection that begins a recovery (specification, 4-postcopy section 4.6.2): it asks block by block which pages are here, then sends
/// RESUME. Nothing that it sends changes any state of the migration.
/// </summary>
internal sealed class RecoveryCandidate(Channel main, ReceivedPages pages, BlockPool pool, Action chosen)
{
    private readonly PostcopyReturnPath _returnPath = new();

    /// <summary>The connection.</summary>
    public Channel Main => main;

    /// <summary>The bytes that came after RESUME.</summary>
    public ReadOnlyMemory<byte> Rest { get; private set; }

    /// <summary>To be called when the migration goes on over this connection.</summary>
    public Action Chosen => chosen;

    /// <summary>
    /// Answers everything before RESUME, and returns when RESUME has come. It is answered only once this connection is the link.
    /// </summary>
    /// <exception cref="ChannelException">The connection is lost, or sends anything else.</exception>
    public void Answer()
    {
        using var input = new RecordBuffer(main, pool);
        _returnPath.Use(main);
        while (true)
        {
            input.Fill(1, "a recovery");
            if (input.Available[0] != (byte)SectionType.Command)
            {
                throw input.Violation($"{(SectionType)input.Available[0]} section (0x{input.Available[0]:x2}) in a recovery");
            }

            input.Fill(CommandHeader.Size, "a command");
            if (!CommandHeader.TryRead(input.Available, out var command, out var error))
            {
                throw input.Malformed(error!);
            }

            input.Fill(CommandHeader.Size + Math.Min(command.Length, 1 + WireLimits.MaxNameLength), "a command");
            var isResume = command.Type == CommandType.PostcopyResume;
            if (!isResume)
            {
                Answer(command, input);
            }

            input.Advance(CommandHeader.Size + command.Length);
            if (isResume)
            {
                Rest = input.Available.ToArray();
                return;
            }
        }
    }

    private void Answer(CommandHeader command, RecordBuffer input)
    {
        var payload = input.Available[CommandHeader.Size..];
        switch (command.Type)
        {
            case CommandType.Ping:
                _returnPath.SendPong(BinaryPrimitives.ReadUInt32BigEndian(payload));
                break;
            case CommandType.ReceivedBitmap:
                var reader = new WireReader(payload[..command.Length]);
                if (!reader.TryReadName(out var name) || reader.Remaining != 0 || !pages.Memory.TryGetBlock(name, out var block))
                {
                    throw input.Violation("a question for the received bitmap of no known block");
                }

                ReceivedBitmapSender.Send(main, block, pages.Received(block));
                break;
            default:
                throw input.Violation($"command {command.Type} in a recovery");
        }
    }
}
