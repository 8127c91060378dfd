using System.Buffers;
using System.Buffers.Binary;
using DataPlane.Guard.Relay;
using DataPlane.Wire;

namespace DataPlane.Guard.ReturnPath;

/// <summary>
/// Reads the return path as it passes. What cannot be understood is relayed all the same, and from then on the guard reads nothing more of
/// it (<see cref="IsLost"/>).
/// </summary>
/// <param name="requests">Takes each page request before the source can answer it.</param>
/// <param name="news">Called with each other message and its value, and with the first page request.</param>
/// <param name="asked">Called after each page request that was taken.</param>
/// <param name="unknown">Called with the number of the first message of a kind that is not known.</param>
/// <param name="lost">Called with the reason why nothing more can be understood.</param>
internal sealed class ReturnPathTap(
    PageRequests requests, Action<ReturnPathType, uint> news, Action asked, Action<ushort> unknown, Action<string> lost) : IRelayTap
{
    private const int BitmapEnd = sizeof(ulong);

    private readonly byte[] _partial = new byte[ReturnPathHeader.Size + WireLimits.MaxReturnPathMessageBytes];
    private int _held;
    private long _skip;
    private bool _expectsBitmapSize;
    private bool _hasRequested;
    private volatile bool _hasShut;

    /// <summary>The reason why the return path is not understood any more; null while it is.</summary>
    public string? Error { get; private set; }

    public bool IsLost => Error is not null;

    /// <summary>
    /// The number of messages whose kind is newer than this guard. Each has its length in the same place as all others, so the guard goes
    /// on after it.
    /// </summary>
    public long UnknownMessages { get; private set; }

    /// <summary>Whether page requests are ignored, because the preempt channel has been found.</summary>
    public volatile bool IgnoresRequests;

    /// <summary>Whether QEMU has sent SHUT. Any thread.</summary>
    public bool HasShut => _hasShut;

    public void Take(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty && !IsLost)
        {
            var skipped = (int)Math.Min(_skip, bytes.Length);
            _skip -= skipped;
            bytes = bytes[skipped..];
            if (bytes.IsEmpty)
            {
                return;
            }

            // One message at a time goes through the small buffer: the traffic is small, and messages come in pieces anyway.
            var added = Math.Min(bytes.Length, _partial.Length - _held);
            bytes[..added].CopyTo(_partial.AsSpan(_held));
            ReadOnlySpan<byte> available = _partial.AsSpan(0, _held + added);
            var consumed = _expectsBitmapSize ? TakeBitmapSize(available) : TakeMessage(available);
            if (consumed == 0)
            {
                _held += added;
                bytes = bytes[added..];
            }
            else
            {
                bytes = bytes[(consumed - _held)..];
                _held = 0;
            }
        }
    }

    private int TakeMessage(ReadOnlySpan<byte> available)
    {
        if (ReturnPathHeader.IsOfUnknownKind(available, out var length))
        {
            if (UnknownMessages++ == 0)
            {
                unknown(BinaryPrimitives.ReadUInt16BigEndian(available));
            }

            _skip = length;
            return ReturnPathHeader.Size;
        }

        switch (ReturnPathMessage.Parse(available, out var message, out var consumed, out var error))
        {
            case OperationStatus.Done:
                Take(message);
                return consumed;
            case OperationStatus.NeedMoreData:
                return 0;
            default:
                Lose(error ?? "");
                return 0;
        }
    }

    private void Lose(string error)
    {
        Error = error;
        lost(error);
    }

    private void Take(ReturnPathMessage message)
    {
        switch (message.Type)
        {
            case ReturnPathType.RequestPagesWithName or ReturnPathType.RequestPages:
                if (!message.BlockName.IsEmpty)
                {
                    requests.Select(message.BlockName);
                }

                if (!IgnoresRequests)
                {
                    requests.Add(message.Start, message.Length);
                    asked();
                }

                if (_hasRequested)
                {
                    return;
                }

                _hasRequested = true;
                break;
            case ReturnPathType.Shut:
                _hasShut = true;
                break;
            case ReturnPathType.ReceivedBitmap:
                _expectsBitmapSize = true;
                break;
        }

        news(message.Type, message.Value);
    }

    /// <summary>
    /// Takes the size of a bitmap, which follows the message about its block, outside the counted length and with an end mark.
    /// </summary>
    private int TakeBitmapSize(ReadOnlySpan<byte> available)
    {
        if (!BinaryPrimitives.TryReadUInt64BigEndian(available, out var size))
        {
            return 0;
        }

        if (size > long.MaxValue - BitmapEnd)
        {
            Lose($"a bitmap of {size} bytes");
            return 0;
        }

        _expectsBitmapSize = false;
        _skip = (long)size + BitmapEnd;
        return sizeof(ulong);
    }
}
