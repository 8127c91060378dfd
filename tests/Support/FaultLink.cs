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
    private readonly Task _pumps;
    private long _forwardBytes;
    private long _backwardBytes;
    private int _cut;

    internal FaultLink(Socket client, Socket server, FaultPlan plan)
    {
        _client = client;
        _server = server;
        foreach (Socket socket in new[] { client, server }.Where(s => s.AddressFamily != AddressFamily.Unix))
            socket.NoDelay = true;
        _pumps = Task.WhenAll(
            Task.Run(() => PumpAsync(_client, _server, plan.Forward, n => Interlocked.Add(ref _forwardBytes, n))),
            Task.Run(() => PumpAsync(_server, _client, plan.Backward, n => Interlocked.Add(ref _backwardBytes, n))));
    }

    /// <summary>Bytes passed on from the client to the target.</summary>
    internal long ForwardBytes => Interlocked.Read(ref _forwardBytes);

    /// <summary>Bytes passed on from the target to the client.</summary>
    internal long BackwardBytes => Interlocked.Read(ref _backwardBytes);

    /// <summary>Completes when a direction has come to its <see cref="Fault.StallAt"/>.</summary>
    internal Task Stalled => _stalled.Task;

    /// <summary>Completes when a direction was cut, or both have come to their end.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Lets stalled directions go on.</summary>
    internal void Resume() => _resumed.TrySetResult();

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
        Resume();
        _client.Dispose();
        _server.Dispose();
        await _pumps;
    }

    private async Task PumpAsync(Socket from, Socket to, Fault fault, Action<int> count)
    {
        byte[] buffer = new byte[64 * 1024];
        try
        {
            for (long offset = 0; ;)
            {
                if (offset == fault.StallAt)
                {
                    _stalled.TrySetResult();
                    await _resumed.Task;
                }

                if (offset == fault.CutAt)
                {
                    Cut(fault.CutByReset);
                    return;
                }

                int n = await from.ReceiveAsync(buffer.AsMemory(0, Limit(offset, fault, buffer.Length)));
                if (n == 0)
                    break;
                if (fault.CorruptAt is { } at && at >= offset && at < offset + n)
                    buffer[at - offset] ^= fault.CorruptMask;
                for (int sent = 0; sent < n;)
                    sent += await to.SendAsync(buffer.AsMemory(sent, Math.Min(fault.PieceBytes ?? n, n - sent)));
                offset += n;
                count(n);
            }

            if (Volatile.Read(ref _cut) == 0)
                to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // One end was reset: so is the other.
            Cut(reset: true);
        }
    }

    private static int Limit(long offset, Fault fault, int length)
    {
        long next = offset + length;
        foreach (long? stop in new[] { fault.StallAt, fault.CutAt })
            next = stop > offset ? Math.Min(next, stop.Value) : next;
        return (int)(next - offset);
    }
}
