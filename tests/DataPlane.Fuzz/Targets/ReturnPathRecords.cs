using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>Messages of the return path, one after the other, as a source reads them.</summary>
internal sealed class ReturnPathRecords : IFuzzTarget
{
    private readonly byte[] _room = new byte[ReturnPathWriter.MaxSize];

    public string Reads => "codecs of the return path, message after message";

    public int MaxInputBytes => 4096;

    public long MaxAllocatedBytes => 16 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        while (true)
        {
            var status = ReturnPathMessage.Parse(input, out var message, out var consumed, out var error);
            Oracle.Consistent(status, consumed, error, input.Length);
            if (status != OperationStatus.Done)
            {
                return status == OperationStatus.NeedMoreData && input.IsEmpty;
            }

            Oracle.Holds(consumed >= ReturnPathHeader.Size && consumed <= ReturnPathHeader.Size + WireLimits.MaxReturnPathMessageBytes);
            WriteAgain(message, input[..consumed]);
            const long BlockLength = 1L << 20;
            var fits = message.TryCheckRange(BlockLength, out error);
            Oracle.Consistent(fits, error);
            Oracle.Holds(!fits || (message.Start >= 0 && message.Start + message.Length <= BlockLength));
            input = input[consumed..];
        }
    }

    private void WriteAgain(ReturnPathMessage message, ReadOnlySpan<byte> source)
    {
        var size = message.Type switch
        {
            ReturnPathType.Shut => ReturnPathWriter.WriteShut(_room, message.Value),
            ReturnPathType.Pong => ReturnPathWriter.WritePong(_room, message.Value),
            ReturnPathType.RequestPages => ReturnPathWriter.WriteRequestPages(_room, message.Start, message.Length),
            ReturnPathType.RequestPagesWithName when !message.BlockName.IsEmpty =>
                ReturnPathWriter.WriteRequestPages(_room, message.BlockName, message.Start, message.Length),
            ReturnPathType.ReceivedBitmap when !message.BlockName.IsEmpty =>
                ReturnPathWriter.WriteReceivedBitmap(_room, message.BlockName),
            ReturnPathType.SwitchoverAck => ReturnPathWriter.WriteSwitchoverAck(_room),
            ReturnPathType.ResumeAck when message.Value == 1 => ReturnPathWriter.WriteResumeAck(_room),
            _ => 0,
        };
        if (size > 0)
        {
            Oracle.Same(_room.AsSpan(0, size), source, $"return path message {message.Type}");
        }
    }
}
