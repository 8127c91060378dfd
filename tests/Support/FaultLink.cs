using System.Net.Sockets;

namespace DataPlane.TestSupport;

/// <summary>One relayed connection of a <see cref="FaultProxy"/>.</summary>
internal sealed class FaultLink : IAsyncDisposable
{
    private readonly Socket _client;
    private readonly Socket _server;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Direction _forward;
    private readonly Direction _backward;
    private readonly Task _pumps;
    private int _cut;
    private volatile bool _severed;

    internal FaultLink(Socket client, Socket server, FaultPlan plan)
    {
        _client = client;
        _server = server;
        _forward = new Direction(plan.Forward, FaultScan.MainStream);
        _backward = new Direction(plan.Backward, FaultScan.ReturnPath);
        Stalled = Task.WhenAny(_forward.Stalled, _backward.Stalled);
        foreach (var socket in new[] { client, server }.Where(s => s.AddressFamily != AddressFamily.Unix))
        {
            socket.NoDelay = true;
        }

        _pumps = PumpAsync();
    }

    /// <summary>Bytes passed on from the client to the target.</summary>
    internal long ForwardBytes => _forward.Passed;

    /// <summary>Bytes passed on from the target to the client.</summary>
    internal long BackwardBytes => _backward.Passed;

    /// <summary>Completes when a direction has come to its <see cref="Fault.StallAt"/>.</summary>
    internal Task Stalled { get; }

    /// <summary>Completes when what comes from the client stands still.</summary>
    internal Task ForwardStalled => _forward.Stalled;

    /// <summary>Completes when what comes from the target stands still.</summary>
    internal Task BackwardStalled => _backward.Stalled;

    /// <summary>Completes when bytes from the client begin to be thrown away.</summary>
    internal Task ForwardDiscarding => _forward.Discarding;

    /// <summary>Completes when bytes from the target begin to be thrown away.</summary>
    internal Task BackwardDiscarding => _backward.Discarding;

    /// <summary>Completes when a direction was cut, or both have come to their end.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Completes when <see cref="Fault.NoticeRecord"/> has come from the client.</summary>
    internal Task ForwardNoticed => _forward.Noticed;

    /// <summary>Completes when <see cref="Fault.NoticeRecord"/> has come from the target.</summary>
    internal Task BackwardNoticed => _backward.Noticed;

    /// <summary>Lets stalled directions go on.</summary>
    internal void Resume()
    {
        ResumeForward();
        ResumeBackward();
    }

    internal void ResumeForward() => _forward.Resume();

    internal void ResumeBackward() => _backward.Resume();

    /// <summary>What comes from now on is read and thrown away, what is held back here included.</summary>
    internal void Discard(bool forward, bool backward)
    {
        if (forward)
        {
            _forward.Discard();
        }

        if (backward)
        {
            _backward.Discard();
        }
    }

    /// <summary>Nothing is passed on forward when so many more bytes have been, as by <see cref="Fault.StallAt"/>.</summary>
    internal void StallAfter(long forwardBytes) => _forward.StallAt = _forward.Bytes + forwardBytes;

    /// <summary>A black hole from now on: neither bytes nor an end come through, until <see cref="Sever"/>.</summary>
    internal void Silence(bool forward, bool backward)
    {
        foreach (var direction in (Direction[])[.. forward ? [_forward] : (Direction[])[], .. backward ? [_backward] : (Direction[])[]])
        {
            direction.StallAt = direction.Bytes;
        }
    }

    /// <summary>One end finds out by itself that the other is out of reach: nothing passes any more, and it alone is reset.</summary>
    internal void Sever(bool client)
    {
        _severed = true;
        Silence(forward: true, backward: true);
        (client ? _client : _server).Close(0);
        _ended.TrySetResult();
    }

    /// <summary>Cuts both ends now: by RST, or by FIN in both directions.</summary>
    internal void Cut(bool reset)
    {
        if (Interlocked.Exchange(ref _cut, 1) != 0)
        {
            return;
        }

        foreach (var socket in new[] { _client, _server })
        {
            try
            {
                if (reset)
                {
                    socket.Close(0);
                }
                else
                {
                    socket.Shutdown(SocketShutdown.Send);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // That end had gone before.
            }
        }

        _ended.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        // First, so that what was held back comes to nobody.
        _client.Dispose();
        _server.Dispose();
        Resume();
        await _pumps;
    }

    private async Task PumpAsync()
    {
        await Task.WhenAll(
            Task.Run(() => PumpAsync(_client, _server, _forward)),
            Task.Run(() => PumpAsync(_server, _client, _backward)));
        _ended.TrySetResult();
    }

    private async Task PumpAsync(Socket from, Socket to, Direction direction)
    {
        var buffer = new byte[64 * 1024];
        var held = 0; // at its beginning: what does not tell yet what it begins
        try
        {
            if (direction.Fault.Preface is { Length: > 0 } preface)
            {
                await to.SendAsync(preface);
            }

            while (true)
            {
                await direction.StandStillAsync();
                if (direction.IsAtCut)
                {
                    Cut(direction.Fault.CutByReset);
                    return;
                }

                var n = await from.ReceiveAsync(buffer.AsMemory(held, direction.RoomToReceive(buffer.Length - held)));
                if (n == 0)
                {
                    break;
                }

                var ready = direction.Take(buffer.AsSpan(0, held + n));
                if (!await PassAsync(buffer.AsMemory(0, ready), to, direction))
                {
                    return;
                }

                held += n - ready;
                buffer.AsSpan(ready, held).CopyTo(buffer);
            }

            if (!await PassAsync(buffer.AsMemory(0, held), to, direction))
            {
                return;
            }

            await direction.StandStillAsync();
            if (Volatile.Read(ref _cut) == 0 && !_severed && !direction.Discards)
            {
                to.Shutdown(SocketShutdown.Send);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // One end was reset: so is the other.
            if (!_severed && !direction.Discards)
            {
                Cut(reset: true);
            }
        }
    }

    /// <summary>False when the connection was cut on the way.</summary>
    private async Task<bool> PassAsync(Memory<byte> bytes, Socket to, Direction direction)
    {
        var fault = direction.Fault;
        if (fault.CorruptAt - direction.Bytes is { } at && at >= 0 && at < bytes.Length)
        {
            bytes.Span[(int)at] ^= fault.CorruptMask;
        }

        for (var sent = 0; sent < bytes.Length;)
        {
            // Told meanwhile, perhaps: then what was received stays here.
            await direction.StandStillAsync();
            if (direction.IsAtCut)
            {
                Cut(fault.CutByReset);
                return false;
            }

            var piece = direction.Room(Math.Min(fault.PieceBytes ?? bytes.Length, bytes.Length - sent));
            if (!direction.Discards)
            {
                piece = await to.SendAsync(bytes.Slice(sent, piece));
            }

            direction.Add(piece);
            sent += piece;
        }

        return true;
    }

    /// <summary>One of the two: how far it has come, and where it stops.</summary>
    private sealed class Direction
    {
        private const long Never = long.MaxValue;

        private readonly TaskCompletionSource _stalled = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _resumed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _discarding = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _noticed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly FaultScan? _scan;
        private long _noticeAt = Never;
        private long _bytes;
        private long _discarded;
        private long _stallAt;
        private long _discardAt;
        private long _cutAt;

        internal Direction(Fault fault, Func<FaultScan> scan)
        {
            Fault = fault;
            _stallAt = fault.StallAt ?? Never;
            _discardAt = fault.DiscardAt ?? Never;
            _cutAt = fault.CutAt ?? Never;
            if (fault.HasRecord)
            {
                _scan = scan();
                _scan.OnRecord = OnRecord;
            }
        }

        internal Fault Fault { get; }

        /// <summary>Passed on or thrown away.</summary>
        internal long Bytes => Interlocked.Read(ref _bytes);

        internal long Passed => Bytes - Interlocked.Read(ref _discarded);

        internal Task Stalled => _stalled.Task;

        internal Task Discarding => _discarding.Task;

        internal Task Noticed => _noticed.Task;

        internal bool IsAtCut => Bytes == _cutAt;

        internal bool Discards => Bytes >= Interlocked.Read(ref _discardAt);

        internal long StallAt
        {
            get => Interlocked.Read(ref _stallAt);
            set => Interlocked.Exchange(ref _stallAt, value);
        }

        internal void Resume() => _resumed.TrySetResult();

        internal void Discard()
        {
            Interlocked.Exchange(ref _discardAt, 0);
            Resume();
        }

        internal async Task StandStillAsync()
        {
            if (StallAt <= Bytes && !Discards)
            {
                _stalled.TrySetResult();
                await _resumed.Task;
            }
        }

        internal void Add(int count)
        {
            if (Discards)
            {
                _discarding.TrySetResult();
                Interlocked.Add(ref _discarded, count);
            }

            if (Interlocked.Add(ref _bytes, count) > _noticeAt)
            {
                _noticed.TrySetResult();
            }
        }

        /// <summary>How many of these may be passed on.</summary>
        internal int Take(ReadOnlySpan<byte> bytes) => _scan?.Take(bytes) ?? bytes.Length;

        /// <summary>What stands at a stop that is known stays with the kernel; where a record decides, it must be read first.</summary>
        internal int RoomToReceive(int length) => _scan is null ? Room(length) : length;

        /// <summary>At most <paramref name="length"/>, and not beyond where something happens; never 0.</summary>
        internal int Room(int length)
        {
            var at = Bytes;
            long room = length;
            foreach (var stop in (ReadOnlySpan<long>)[StallAt, _cutAt, Interlocked.Read(ref _discardAt)])
            {
                room = stop > at ? Math.Min(room, stop - at) : room;
            }

            return (int)room;
        }

        private void OnRecord(string record, uint value, long at)
        {
            if (_noticeAt == Never && Fault.NoticeRecord is { } notice && notice.Matches(record, value))
            {
                _noticeAt = at + notice.Into;
            }

            if (StallAt == Never && Fault.StallAtRecord is { } stall && stall.Matches(record, value))
            {
                StallAt = at + stall.Into;
            }

            if (_cutAt == Never && Fault.CutAtRecord is { } cut && cut.Matches(record, value))
            {
                _cutAt = at + cut.Into;
            }

            if (Interlocked.Read(ref _discardAt) == Never && Fault.DiscardAtRecord is { } discard && discard.Matches(record, value))
            {
                Interlocked.Exchange(ref _discardAt, at + discard.Into);
            }
        }
    }
}
