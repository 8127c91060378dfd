using System.Net;
using System.Net.Sockets;

namespace DataPlane.TestSupport;

/// <summary>
/// A relay on loopback that stands between two ends and misbehaves as told: each accepted connection is numbered in order of arrival and
/// gets its own <see cref="FaultPlan"/>. Cut, stall and corrupt happen at exact byte offsets, so tests are repeatable.
/// </summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    private readonly Socket _listener;
    private volatile EndPoint _target;
    private readonly Func<int, FaultPlan> _plan;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly List<TaskCompletionSource<FaultLink>> _links = [];
    private readonly Task _accepting;

    private readonly int? _bufferBytes;

    private FaultProxy(EndPoint target, Func<int, FaultPlan> plan, int? bufferBytes)
    {
        _bufferBytes = bufferBytes;
        _target = target;
        _plan = plan;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        if (bufferBytes is { } size)
        {
            (_listener.ReceiveBufferSize, _listener.SendBufferSize) = (size, size); // inherited by what it accepts
        }

        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(1024);
        Address = ChannelAddress.From((IPEndPoint)_listener.LocalEndPoint!);
        _accepting = AcceptAsync();
    }

    /// <summary>Where clients connect to.</summary>
    internal ChannelAddress Address { get; }

    /// <summary>Starts to relay to <paramref name="target"/>; without a plan it only relays.</summary>
    /// <param name="target">Where to.</param>
    /// <param name="plan">What happens to each connection.</param>
    /// <param name="bufferBytes">Of its sockets: what it does not pass on fills those of the ends the sooner.</param>
    internal static FaultProxy Start(ChannelAddress target, Func<int, FaultPlan>? plan = null, int? bufferBytes = null) =>
        new(ScriptedPeer.EndPointOf(target), plan ?? (_ => FaultPlan.None), bufferBytes);

    /// <summary>Relays to <paramref name="target"/> what comes from now on.</summary>
    internal void Redirect(ChannelAddress target) => _target = ScriptedPeer.EndPointOf(target);

    /// <summary>Connection number <paramref name="index"/>, as soon as it is there.</summary>
    internal Task<FaultLink> LinkAsync(int index, CancellationToken cancellationToken) => Slot(index).Task.WaitAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        foreach (var slot in _links.ToArray())
        {
            if (slot.Task.IsCompletedSuccessfully)
            {
                await (await slot.Task).DisposeAsync();
            }
            else
            {
                slot.TrySetCanceled();
            }
        }

        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            for (var index = 0; ; index++)
            {
                var client = await _listener.AcceptAsync(_stop.Token);
                var target = _target;
                var server = new Socket(target.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
                if (_bufferBytes is { } size)
                {
                    (server.ReceiveBufferSize, server.SendBufferSize) = (size, size);
                }

                try
                {
                    await server.ConnectAsync(target, _stop.Token);
                    Slot(index).SetResult(new FaultLink(client, server, _plan(index)));
                }
                catch (SocketException)
                {
                    client.Close(0);
                    server.Dispose();
                    Slot(index).SetCanceled();
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // Disposed.
        }
    }

    private TaskCompletionSource<FaultLink> Slot(int index)
    {
        lock (_lock)
        {
            while (_links.Count <= index)
            {
                _links.Add(new TaskCompletionSource<FaultLink>(TaskCreationOptions.RunContinuationsAsynchronously));
            }

            return _links[index];
        }
    }
}
