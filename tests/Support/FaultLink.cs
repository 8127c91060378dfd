using System.Net.Sockets;

namespace DataPlane.TestSupport;

/// <summary>One relayed connection of a <see cref="FaultProxy"/>.</summary>
internal sealed class FaultLink : IAsyncDisposable
{
    private readonly Socket _client;
    private readonly Socket _server;
    private readonly TaskCompletionSource _stalled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _resumed = new(TaskCreationOptions.RunContinuationsAsynchronously);
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
        (_forward, _backward) = (new Direction(plan.Forward), new Direction(plan.Backward));
        foreach (Socket socket in new[] { client, server }.Where(s => s.AddressFamily != AddressFamily.Unix))
            socket.NoDelay = true;
        _pumps = PumpAsync();
    }

    /// <summary>Bytes passed on from the client to the target.</summary>
    internal long ForwardBytes => _forward.Bytes;

    /// <summary>Bytes passed on from the target to the client.</summary>
    internal long BackwardBytes => _backward.Bytes;

    /// <summary>Completes when a direction has come to its <see cref="Fault.StallAt"/>.</summary>
    internal Task Stalled => _stalled.Task;

    /// <summary>Completes when a direction was cut, or both have come to their end.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Lets stalled directions go on.</summary>
    internal void Resume() => _resumed.TrySetResult();

    /// <summary>Nothing is passed on forward when so many more bytes have been, as by <see cref="Fault.StallAt"/>.</summary>
    internal void StallAfter(long forwardBytes) => _forward.StallAt = _forward.Bytes + forwardBytes;

    /// <summary>A black hole from now on: neither bytes nor an end come through, until <see cref="Sever"/>.</summary>
    internal void Silence(bool forward, bool backward)
    {
        foreach (var direction in (Direction[])[.. forward ? [_forward] : (Direction[])[], .. backward ? [_backward] : (Direction[])[]])
            direction.StallAt = direction.Bytes;
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
            return;

        foreach (Socket socket in new[] { _client, _server })
        {
            try
            {
                if (reset)
                    socket.Close(0);
                else
                    socket.Shutdown(SocketShutdown.Send);
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
        byte[] buffer = new byte[64 * 1024];
        var fault = direction.Fault;
        try
        {
            while (true)
            {
                await StandStillAsync(direction);
                if (direction.Bytes == fault.CutAt)
                {
                    Cut(fault.CutByReset);
                    return;
                }

                int n = await from.ReceiveAsync(buffer.AsMemory(0, direction.Room(buffer.Length)));
                if (n == 0)
                    break;
                if (fault.CorruptAt - direction.Bytes is { } at && at >= 0 && at < n)
                    buffer[at] ^= fault.CorruptMask;
                for (int sent = 0; sent < n;)
                {
                    // Told meanwhile, perhaps: then what was received stays here.
                    await StandStillAsync(direction);
                    int passed = await to.SendAsync(
                        buffer.AsMemory(sent, direction.Room(Math.Min(fault.PieceBytes ?? n, n - sent))));
                    direction.Add(passed);
                    sent += passed;
                }
            }

            await StandStillAsync(direction);
            if (Volatile.Read(ref _cut) == 0 && !_severed)
                to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // One end was reset: so is the other.
            if (!_severed)
                Cut(reset: true);
        }
    }

    private async Task StandStillAsync(Direction direction)
    {
        if (direction.StallAt <= direction.Bytes)
        {
            _stalled.TrySetResult();
            await _resumed.Task;
        }
    }

    /// <summary>One of the two: how far it has come, and where it stops.</summary>
    private sealed class Direction(Fault fault)
    {
        private const long Never = long.MaxValue;

        private long _bytes;
        private long _stallAt = fault.StallAt ?? Never;

        internal Fault Fault => fault;

        internal long Bytes => Interlocked.Read(ref _bytes);

        internal long StallAt
        {
            get => Interlocked.Read(ref _stallAt);
            set => Interlocked.Exchange(ref _stallAt, value);
        }

        internal void Add(int count) => Interlocked.Add(ref _bytes, count);

        /// <summary>At most <paramref name="length"/>, and not beyond where something happens; never 0.</summary>
        internal int Room(int length)
        {
            long at = Bytes;
            long room = length;
            foreach (long stop in (ReadOnlySpan<long>)[StallAt, fault.CutAt ?? Never])
                room = stop > at ? Math.Min(room, stop - at) : room;
            return (int)room;
        }
    }
}
