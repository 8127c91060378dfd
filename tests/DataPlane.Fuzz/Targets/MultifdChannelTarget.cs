using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>One multifd channel over a socket pair, on this thread: packets with pages into guarded memory, plain or compressed.</summary>
internal sealed class MultifdChannelTarget(CompressionMethod method) : IFuzzTarget
{
    // Codecs live in native memory, which the collector does not see grow.
    private const int RunsPerCollection = 128;

    private readonly GuardedGuest _guest = new(("pc.ram", 64 * TargetPage.Size), ("vga", 2 * TargetPage.Size));
    private readonly BlockPool _pool = new();
    private MultifdReceiver? _receiver;
    private int _runs;

    public string Reads => $"a multifd channel on a socket pair, {MethodName}: packets with pages (MultifdPacketReceiver)";

    // What a Unix socket holds while nobody reads.
    public int MaxInputBytes => 96 << 10;

    public long MaxAllocatedBytes => 256 << 10;

    private string MethodName => method switch
    {
        CompressionMethod.Zlib => "zlib",
        CompressionMethod.Zstd => "zstd",
        _ => "plain",
    };

    public void Dispose()
    {
        _guest.Dispose();
        _pool.Dispose();
    }

    public bool Run(ReadOnlySpan<byte> input)
    {
        _guest.Clear();
        var pages = new ReceivedPages(_guest.Memory);
        var receiver = _receiver ??= MakeReceiver();
        receiver.Pages = pages;
        (var one, var other) = SocketCalls.CreateSocketPair();
        using (var peer = new Socket(other))
        {
            peer.Send(input);
        }

        var channel = new Channel(one, ChannelId.Multifd(0), "fuzzer", _pool);
        try
        {
            Receive(new MultifdPacketReceiver(0, receiver), channel, input.Length / MultifdPacket.HeaderSize);
            Oracle.Holds(_guest.CountUnreported(pages) == 0);
            return pages.Count() > 0;
        }
        catch (ChannelException failure)
        {
            Oracle.Holds(failure.Reason is FailureReason.MalformedStream or FailureReason.ProtocolViolation or FailureReason.PeerClosed);
            // Of the packet that failed pages may be there and not be reported.
            Oracle.Holds(_guest.CountUnreported(pages) <= MultifdPacket.PagesPerPacket);
            return false;
        }
        finally
        {
            channel.Abort();
            if (++_runs % RunsPerCollection == 0 && method != CompressionMethod.None)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
    }

    /// <summary>Receives all packets and the end, which may be asked for again and again.</summary>
    private void Receive(MultifdPacketReceiver receiver, Channel channel, int mostPackets)
    {
        using var block = _pool.RentBlock("multifd 0");
        for (var packets = 0; packets <= mostPackets; packets++)
        {
            // False is the end, or a sync, after which no one waits here.
            _ = receiver.ReceivePacket(channel, block);
        }
    }

    /// <summary>The owner of the barrier, whose own thread has ended: its barrier holds nobody up.</summary>
    private MultifdReceiver MakeReceiver()
    {
        var receiver = new MultifdReceiver(1, _pool, method);
        var ended = receiver.AbortAsync(new OperationCanceledException());
        ((IAsyncResult)ended).AsyncWaitHandle.WaitOne();
        return receiver;
    }
}
