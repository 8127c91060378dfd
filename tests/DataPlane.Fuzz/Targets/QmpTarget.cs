using System.Buffers;
using System.Text;
using System.Text.Json;
using DataPlane.Guard.Qmp;

namespace DataPlane.Fuzz.Targets;

/// <summary>What a QEMU says to its guard: lines of QMP, and the table of RAM blocks that it prints for people.</summary>
internal sealed class QmpTarget : IFuzzTarget
{
    public string Reads => "lines of QMP (QmpMessage), and QEMU's table of RAM blocks (KnownBlocks)";

    public int MaxInputBytes => 4096;

    public long MaxAllocatedBytes => 256 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        return choices.Choice(2) == 0 ? Lines(choices.Rest) : Table(choices.Rest);
    }

    private static bool Lines(ReadOnlySpan<byte> bytes)
    {
        var known = false;
        while (!bytes.IsEmpty)
        {
            var end = bytes.IndexOf((byte)'\n') is >= 0 and var found ? found : bytes.Length;
            try
            {
                var message = QmpMessage.Read(new ReadOnlySequence<byte>(bytes[..end].ToArray()));
                known = message.Kind != QmpMessageKind.Other;
                Oracle.Holds(message.Kind != QmpMessageKind.Answer || message.Body.ValueKind == JsonValueKind.Object);
            }
            catch (QmpException)
            {
                return false; // declared; the connection ends with it
            }

            bytes = bytes[Math.Min(end + 1, bytes.Length)..];
        }

        return known;
    }

    private static bool Table(ReadOnlySpan<byte> bytes)
    {
        var blocks = new KnownBlocks();
        blocks.Take(Encoding.UTF8.GetString(bytes));
        Oracle.Holds(blocks.IsKnown != blocks.MayHave("no QEMU has this"u8, 0));
        return blocks.IsKnown;
    }
}
