using System.Buffers;
using DataPlane.MainStream.Devices;

namespace DataPlane.Fuzz.Targets;

/// <summary>Device state in pieces that the input chooses, beside the same bytes at once.</summary>
internal sealed class DeviceStateTarget : IFuzzTarget
{
    private static readonly int[] s_pieces = [1, 7, 64, 1000];

    public string Reads => "device state with its description, the same in every chunking (DeviceStateSplitter)";

    public int MaxInputBytes => 16 << 10;

    public long MaxAllocatedBytes => 2 << 20;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var piece = s_pieces[choices.Choice(s_pieces.Length)];
        var bytes = choices.Rest;
        piece = Math.Max(piece, bytes.Length / 256); // at most 256 looks
        var large = Split(bytes, bytes.Length);
        var small = Split(bytes, piece);
        if (large != small)
        {
            throw new OracleException($"in one piece: {large}; in pieces of {piece}: {small}");
        }

        return large.Devices > 0;
    }

    /// <summary>As a channel's reader calls it: what has arrived so far, then, when nothing is left, the same with the end.</summary>
    private static Result Split(ReadOnlySpan<byte> bytes, int piece)
    {
        var splitter = new DeviceStateSplitter();
        for (var length = Math.Min(piece, bytes.Length); ; length = Math.Min(length + piece, bytes.Length))
        {
            var status = splitter.TryFinish(
                bytes[..length], false, out var consumed, out var state, out var error);
            Oracle.Consistent(status, consumed, error, length);
            if (status == OperationStatus.NeedMoreData && length == bytes.Length)
            {
                status = splitter.TryFinish(bytes, true, out consumed, out state, out error);
                Oracle.Consistent(status, consumed, error, length);
                Oracle.Holds(status != OperationStatus.NeedMoreData);
            }

            if (status == OperationStatus.InvalidData)
            {
                return new Result(0, 0, 0);
            }

            if (status == OperationStatus.Done)
            {
                return Judge(bytes, consumed, state!);
            }
        }
    }

    private static Result Judge(ReadOnlySpan<byte> bytes, int consumed, DeviceState state)
    {
        Oracle.Same(state.Sections.Span, bytes[..state.Sections.Length], "device sections");
        Oracle.Same(state.Description.Span, bytes[(consumed - state.Description.Length)..consumed], "VM description");
        long end = 0;
        var devices = new HashCode();
        foreach (var device in state.Devices)
        {
            Oracle.Holds(device.Length >= 0 && device.Offset >= end && (long)device.Offset + device.Length <= state.Sections.Length);
            end = (long)device.Offset + device.Length;
            devices.Add(device);
        }

        if (state.RunState is "running" or "paused")
        {
            Oracle.Holds(state.WithRunState("paused").RunState == "paused");
        }

        return new Result(consumed, state.Devices.Count, devices.ToHashCode());
    }

    private readonly record struct Result(int Consumed, int Devices, int Hash);
}
