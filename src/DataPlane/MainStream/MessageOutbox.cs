using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.MainStream;

/// <summary>
/// Sends small messages of many threads on one channel, in the order in which they were added. No lock is held while sending: a thread that
/// finds nobody sending sends all there is, and messages that others add meanwhile leave with its next call.
/// </summary>
/// <remarks>
/// The users of an outbox bound its size: there are at most as many messages as pages that are asked for. A single message costs one system
/// call, and nothing is allocated once the two buffers have grown to their size. Thread-safe.
/// </remarks>
/// <param name="channel">The channel, on which nobody else sends.</param>
/// <param name="send">Sends instead of the channel; for tests.</param>
internal sealed class MessageOutbox(Channel channel, MessageOutbox.SendCall? send = null)
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
    /// Adds a message, and sets <paramref name="end"/> to the position up to which <see cref="SendUpTo"/> must send to include it. Returns
    /// false if the channel has failed; the message is not kept then.
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

    /// <summary>
    /// Sends all messages, unless another thread is sending: then that thread sends them. Does not report failures, because the readers of
    /// the channel find them.
    /// </summary>
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

    /// <summary>
    /// Returns when all messages up to <paramref name="end"/> have been sent. <paramref name="doing"/> is what the caller does, for the
    /// message of a failure; null if it goes without saying.
    /// </summary>
    /// <exception cref="ChannelException">The link is lost.</exception>
    public void SendUpTo(long end, string? doing)
    {
        lock (_gate)
        {
            // The thread that sends returns when the channel is aborted, at the latest.
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

    /// <summary>Ends the channel, and with it every wait of those who send. Thread-safe.</summary>
    public void Abort() => channel.Abort();

    private void SendAll(string? doing)
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

    /// <summary>
    /// Sends the first bytes of the buffer that leaves. Returns any failure instead of throwing it, because the other threads wait until
    /// this one has sent.
    /// </summary>
    private unsafe ChannelException? Send(int bytes, string? doing)
    {
        try
        {
            fixed (byte* first = _leaving)
            {
                // SAFETY: the array is pinned for as long as it lives, and only the thread that sends uses it.
                Span<IoVec> vector = [new IoVec((nint)first, (nuint)bytes)];
                var result = send is null ? channel.Send(vector) : send(vector);
                return result.Complete ? null : channel.Failed(result, doing);
            }
        }
        catch (Exception surprise)
        {
            var failure = new ChannelException(FailureReason.LocalFailure, channel.Name, surprise.Message, surprise);
            channel.Abort(failure); // the readers of the channel would not find this failure
            return failure;
        }
    }

    private static byte[] Allocate(int size) => GC.AllocateUninitializedArray<byte>(size, pinned: true);

    public delegate TransferResult SendCall(Span<IoVec> vectors);
}
