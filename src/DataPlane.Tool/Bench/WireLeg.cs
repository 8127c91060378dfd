using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Tool.Output;
using DataPlane.Transport;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The wire limit at the source: the same memory, the same number of connections with the same socket options, and nothing but vectored
/// sends on one blocking thread each. The clock runs from the first connect to the destination's one byte of acknowledgement.
/// </summary>
internal sealed class WireLeg(WireVariant variant, ChannelOptions channelOptions) : IBenchLeg<LegSample>
{
    public WireVariant Variant { get; } = variant;

    public string Name => Variant.LegName();

    public async Task<LegSample> RunAsync(
        LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation)
    {
        var sender = new WireSender(guest.Block);
        var address = new IPEndPoint(destination.Address, destination.Port);
        var count = Math.Max(1, destination.Channels);
        using var threads = new WireThreads("dp-wire-send", count, (owner, index) =>
        {
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (!owner.Own(socket))
            {
                return;
            }

            SocketSetup.Apply(socket.SafeHandle, address.AddressFamily, channelOptions);
            socket.Connect(address);
            sender.Send(Variant, socket.SafeHandle, index, count);
            AwaitAcknowledgement(socket.SafeHandle);
        });
        var cpuBefore = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime;
        var start = Stopwatch.GetTimestamp();
        threads.Start();
        await threads.WaitAsync(cancellation).ConfigureAwait(false);
        var elapsed = Stopwatch.GetElapsedTime(start);
        var cpu = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime - cpuBefore;
        return new LegSample
        {
            Seconds = elapsed.TotalSeconds,
            TransferredBytes = guest.Block.Length,
            SourceCpuSeconds = cpu.TotalSeconds,
        };
    }

    private static unsafe void AwaitAcknowledgement(SafeSocketHandle socket)
    {
        byte acknowledgement;
        WireSocket.ReceiveAll(socket, [new IoVec((nint)(&acknowledgement), 1)]);
    }
}
