using DataPlane.Admission;
using DataPlane.Memory;
using DataPlane.Postcopy;

namespace DataPlane.Migration;

/// <summary>What admission asks a destination: whether it is paused, which blocks there are, which pages it has asked for.</summary>
internal sealed class DestinationContext : IAdmissionContext
{
    private volatile PostcopyReceiver? _receiver;

    /// <summary>Null until the RAM blocks are known, and where no postcopy is expected.</summary>
    public PostcopyReceiver? Receiver
    {
        get => _receiver;
        set => _receiver = value;
    }

    public bool IsPaused => _receiver is { IsPaused: true };

    public bool LoneEndIsPlausible => _receiver is { IsListening: true } receiver && receiver.Ledger.OpenRequests == 0;

    public bool MayBeBlock(ReadOnlySpan<byte> blockName) => _receiver is not { } receiver || receiver.Memory.TryGetBlock(blockName, out _);

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset)
    {
        if (_receiver is not { IsListening: true } receiver)
        {
            return PreemptVerdict.NotYet;
        }

        return receiver.Memory.TryGetBlock(blockName, out var block) && offset < block.Length
            && receiver.Ledger.IsOpen(block, offset >> TargetPage.Shift)
            ? PreemptVerdict.Requested
            : PreemptVerdict.Refuse;
    }
}
