using System.Buffers.Binary;
using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.TestSupport;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream;

public sealed class ZeroPageRecordsTests
{
    private const int Pages = 400_000; // megabytes of records: more than the small sockets of both ends hold

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// One thread stands in the middle of sending, and another that has a few records more goes on: it may be needed to hear that the whole
    /// migration has failed.
    /// </summary>
    [Fact]
    public async Task Who_has_room_for_its_records_does_not_wait_for_who_sends()
    {
        await using var pair = await ConnectAsync();
        using var records = new ZeroPageRecords(pair.Channel, pair.Pool);
        using RamBlock first = Block("pc.ram"), second = Block("vga.vram");
        var filling = Task.Factory.StartNew(
            () => Add(records, first, 0, Pages), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Eventually.TrueAsync(() => !CanTakeMore(pair), "the sockets are full", Token);

        await Task.Run(() => Add(records, second, 0, 10), Token).WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.False(filling.IsCompleted);

        // And nothing is lost, said twice, or said of the wrong block.
        var reading = Task.Run(async () => (await pair.Peer.ReadToEndAsync(Token)).Bytes, Token);
        await filling;
        pair.Channel.Send([Rest(records, out var rest)]);
        rest.Dispose();
        await pair.Channel.CloseAsync(TimeSpan.FromMinutes(1), Token);
        var seen = Parse(await reading);
        Assert.Equal(Pages, seen.Where(static r => r.Block == "pc.ram").Select(static r => r.Offset).Distinct().Count());
        Assert.Equal(10, seen.Count(static r => r.Block == "vga.vram"));
        Assert.Equal(Pages + 10, seen.Count);
    }

    [Fact]
    public async Task An_abort_ends_who_sends_and_who_waits_for_his_turn()
    {
        await using var pair = await ConnectAsync();
        using var records = new ZeroPageRecords(pair.Channel, pair.Pool);
        using var block = Block("pc.ram");
        Task[] filling = [.. Enumerable.Range(0, 3).Select(_ => Task.Factory.StartNew(
            () => Add(records, block, 0, Pages), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        await Eventually.TrueAsync(() => !CanTakeMore(pair), "the sockets are full", Token);
        pair.Channel.Abort();
        foreach (var each in filling)
        {
            await Assert.ThrowsAsync<ChannelException>(() => each.WaitAsync(TimeSpan.FromMinutes(1), Token));
        }
    }

    private static async Task<ChannelPair> ConnectAsync()
    {
        var pair = await ChannelPair.ConnectAsync(Token, options: new ChannelOptions { SendBufferBytes = 64 << 10 });
        pair.Peer.Socket.ReceiveBufferSize = 64 << 10;
        return pair;
    }

    private static RamBlock Block(string name) =>
        RamBlock.Allocate(name, 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false });

    private static void Add(ZeroPageRecords records, RamBlock block, int from, int count)
    {
        Span<long> offsets = stackalloc long[100];
        for (var at = 0; at < count; at += offsets.Length)
        {
            var some = offsets[..Math.Min(offsets.Length, count - at)];
            for (var i = 0; i < some.Length; i++)
            {
                some[i] = (long)(from + at + i) << TargetPage.Shift;
            }

            records.Add(block, some);
        }
    }

    private static IoVec Rest(ZeroPageRecords records, out NativeBuffer copy)
    {
        var rest = records.TakeRest();
        copy = new NativeBuffer(Math.Max(1, rest.Length));
        rest.CopyTo(copy.Span);
        return new IoVec(copy.Whole.Address, (nuint)rest.Length);
    }

    private static unsafe bool CanTakeMore(ChannelPair pair)
    {
        PollFd writable = new((int)pair.Channel.Handle.DangerousGetHandle(), PollCalls.PollOut);
        // SAFETY: one entry, a local.
        return PollCalls.Poll(&writable, 1, 0) == 1;
    }

    private static List<(string Block, long Offset)> Parse(ReadOnlySpan<byte> bytes)
    {
        List<(string, long)> records = [];
        var block = "";
        while (!bytes.IsEmpty)
        {
            var head = BinaryPrimitives.ReadUInt64BigEndian(bytes);
            bytes = bytes[8..];
            var flags = (RamFlags)(head & (TargetPage.Size - 1));
            Assert.True(flags is RamFlags.Zero or (RamFlags.Zero | RamFlags.Continue));
            if ((flags & RamFlags.Continue) == 0)
            {
                block = System.Text.Encoding.UTF8.GetString(bytes.Slice(1, bytes[0]));
                bytes = bytes[(1 + bytes[0])..];
            }

            Assert.Equal(0, bytes[0]);
            bytes = bytes[1..];
            records.Add((block, (long)(head & ~(ulong)(TargetPage.Size - 1))));
        }

        return records;
    }
}
