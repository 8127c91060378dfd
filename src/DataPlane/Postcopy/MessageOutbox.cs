using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Small messages of many threads to one channel, in the order in which they were added, without a lock that is held while anybody sends:
/// whoever finds nobody sending sends all there is, and what others add meanwhile with its next call.
/// </summary>
/// <remarks>
/// Bounded by its users: as many messages wait as there are pages asked for. A message alone is one system call, and nothing is allocated
/// once the two buffers have their size. Thread-safe.
/// </remarks>
/// <param name="channel">The channel, on which nobody else sends.</param>
internal sealed class MessageOutbox(Channel channel)
{
    private const int FirstSize = 4096;

    private readonly object _gate = new();
    private byte[] _waiting = Allocate(FirstSize);
    private byte[] _leaving = Allocate(FirstSize);
    private int _waitingBytes;
    private long _added;
    private long _sent;
    private bool _isSending;
    private ChannelException? _failure;

    /// <summary>
    /// Adds a message; <paramref name="end"/> is what <see cref="SendUpTo"/> takes. False when the channel has failed:
    /// nothing is kept then.
    /// </summary>
    public bool TryAdd(ReadOnlySpan<byte> message, out long end)
    {
        lock (_gate)
        {
            if (_failure is null)
            {
                if (_waiting.Length - _waitingBytes < message.Length)
                {
                    var larger = Allocate(2 * _waiting.Length);
                    _waiting.AsSpan(0, _waitingBytes).CopyTo(larger);
                    _waiting = larger;
                }

                message.CopyTo(_waiting.AsSpan(_waitingBytes));
                _waitingBytes += message.Length;
                _added += message.Length;
            }

            end = _added;
            return _failure is null;
        }
    }

    /// <summary>Sees to it that everything leaves: by this thread, unless another is sending. Failures are found by the readers.</summary>
    public void TrySendAll()
    {
        lock (_gate)
        {
            if (_isSending || _failure is not null || _waitingBytes == 0)
            {
                return;
            }

            _isSending = true;
        }

        SendAll("asking for a page");
    }

    /// <summary>Returns when everything up to <paramref name="end"/> has left.</summary>
    /// <exception cref="ChannelException">The link is gone.</exception>
    public void SendUpTo(long end, string doing)
    {
        lock (_gate)
        {
            // Whoever sends comes back when the channel is aborted, at the latest.
            while (_isSending && _failure is null && _sent < end)
            {
                Monitor.Wait(_gate);
            }

            if (_failure is { } failure)
            {
                throw new ChannelException(failure.Reason, failure.Channel, failure.Message, failure);
            }

            if (_sent >= end)
            {
                return;
            }

            _isSending = true;
        }

        SendAll(doing);
        lock (_gate)
        {
            if (_sent < end)
            {
                throw _failure!;
            }
        }
    }

    private void SendAll(string doing)
    {
        while (true)
        {
            int bytes;
            lock (_gate)
            {
                (_waiting, _leaving) = (_leaving, _waiting);
                (bytes, _waitingBytes) = (_waitingBytes, 0);
                if (bytes == 0)
                {
                    _isSending = false;
                    Monitor.PulseAll(_gate);
                    return;
                }
            }

            var failure = Send(bytes, doing);
            lock (_gate)
            {
                _sent += failure is null ? bytes : 0;
                _failure = failure;
                Monitor.PulseAll(_gate);
                if (failure is not null)
                {
                    _isSending = false;
                    return;
                }
            }
        }
    }

    private unsafe ChannelException? Send(int bytes, string doing)
    {
        fixed (byte* first = _leaving)
        {
            // SAFETY: the array is pinned for good, and belongs to the one who sends.
            Span<IoVec> vector = [new IoVec((nint)first, (nuint)bytes)];
            var result = channel.Send(vector);
            return result.Complete ? null : ChannelException.From(result, channel, doing);
        }
    }

    private static byte[] Allocate(int size) => GC.AllocateUninitializedArray<byte>(size, pinned: true);
}
