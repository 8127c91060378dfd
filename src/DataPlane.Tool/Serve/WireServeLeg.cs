using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Tool.Bench;
using DataPlane.Transport;

namespace DataPlane.Tool.Serve;

/// <summary>The wire limit at the destination: one blocking thread per connection receives straight into the memory.</summary>
internal sealed class WireServeLeg(WireVariant variant, IPAddress listenAddress, ChannelOptions channelOptions) : IServeLeg
{
    public string Name => variant.LegName();

    public Task<IServeLegRun> PrepareAsync(PrepareMessage request, GuestMemory guest, CancellationToken cancellation) =>
        Task.FromResult<IServeLegRun>(new Run(variant, listenAddress, channelOptions, Math.Max(1, request.Channels), guest.Blocks[0]));

    private sealed class Run : IServeLegRun
    {
        private readonly Socket _listener;
        private readonly WireReceiver _receiver;
        private readonly WireThreads _threads;
        private readonly CountdownEvent _unfinished;
        private long _firstConnection;

        public Run(WireVariant variant, IPAddress address, ChannelOptions options, int connections, RamBlock block)
        {
            _receiver = new WireReceiver(block);
            _unfinished = new CountdownEvent(connections);
            _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (address.Equals(IPAddress.IPv6Any))
            {
                _listener.DualMode = true;
            }
            // Accepted sockets inherit the options.
            SocketSetup.Apply(_listener.SafeHandle, address.AddressFamily, options);
            _listener.Bind(new IPEndPoint(address, 0));
            _listener.Listen(connections);
            _threads = new WireThreads("dp-wire-receive", connections, (owner, _) => ReceiveOne(owner, variant));
            _threads.Own(_listener);
            _threads.Start();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

        public long Progress => _receiver.Bytes;

        // Every thread takes whichever connection comes next, because the connections have no order.
        private void ReceiveOne(WireThreads owner, WireVariant variant)
        {
            var socket = _listener.Accept();
            if (!owner.Own(socket))
            {
                return;
            }

            Interlocked.CompareExchange(ref _firstConnection, Stopwatch.GetTimestamp(), 0);
            _receiver.Receive(variant, socket.SafeHandle);
            // The acknowledgement is for all of the memory: no thread sends it before all have finished.
            _unfinished.Signal();
            _unfinished.Wait(owner.Stopped);
            Acknowledge(socket.SafeHandle);
        }

        private static unsafe void Acknowledge(SafeSocketHandle socket)
        {
            byte acknowledgement = 1;
            WireSocket.SendAll(socket, [new IoVec((nint)(&acknowledgement), 1)]);
        }

        public async Task<ResultMessage> RunAsync(CancellationToken cancellation)
        {
            try
            {
                await _threads.WaitAsync(cancellation).ConfigureAwait(false);
                return new ResultMessage { Seconds = Stopwatch.GetElapsedTime(_firstConnection).TotalSeconds, Bytes = _receiver.Bytes };
            }
            catch (IOException exception)
            {
                return new ResultMessage { Error = exception.Message };
            }
        }

        public ValueTask DisposeAsync()
        {
            _threads.Dispose();
            _unfinished.Dispose();
            _listener.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
