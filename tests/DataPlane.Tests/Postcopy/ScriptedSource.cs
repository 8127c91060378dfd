using System.Buffers.Binary;
using System.Net;
using System.Text;
using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A source that says in postcopy exactly what a test wants, to a destination that runs its guest at once.</summary>
internal sealed class ScriptedSource : IAsyncDisposable
{
    private static readonly uint[] s_pingsOfQemu = [3, PostcopyPackage.LoadedPing];
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);
    private readonly List<ScriptedPeer> _connections = [];

    public ScriptedSource(bool preempt = false, Action<GuestMemory>? onLoad = null)
        : this(new MigrationDestinationOptions { Postcopy = true, Preempt = preempt }, onLoad)
    {
    }

    public ScriptedSource(
        MigrationDestinationOptions options, Action<GuestMemory>? onLoad = null, IProgress<MigrationProgress>? progress = null)
    {
        LiveGuest.RequireUserfaultfd();
        var (ram, other) = (Block(RecordedStream.Block, RecordedStream.Pages), Block("other", 1));
        Memory = new GuestMemory([ram, other]);
        Guest = new LiveGuest(Memory, RamAllocation.Default with { HugePages = false }, threads: 0) { OnLoad = onLoad };
        Destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], Guest, options);
        Receiving = Destination.ReceiveAsync(progress, TestContext.Current.CancellationToken);
    }

    public GuestMemory Memory { get; }

    public LiveGuest Guest { get; }

    public MigrationDestination Destination { get; }

    public Task<MigrationReport> Receiving { get; }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Up to the list of blocks.</summary>
    public static RecordedStream Advised(bool multifd = false, string machine = "pc-q35-11.1") => new RecordedStream().Header(machine)
        .Command(CommandType.OpenReturnPath).Ping(1)
        .Command(CommandType.PostcopyAdvise, Payload(static bytes => new PostcopyAdvise(TargetPage.Size).Write(bytes)))
        .Start(flush: multifd);

    /// <summary>Up to and with the package; everything is discarded.</summary>
    public static RecordedStream Switched(params uint[] pings) =>
        Package(Discard(Discard(Advised(), RecordedStream.Block, 0, RecordedStream.Pages), "other", 0, 1), pings);

    public static RecordedStream Discard(RecordedStream stream, string block, long firstPage, long pages)
    {
        var payload = new byte[PostcopyDiscard.MaxSize];
        var size = PostcopyDiscard.Write(
            payload, Encoding.UTF8.GetBytes(block), [new ByteRange(firstPage * TargetPage.Size, pages * TargetPage.Size)]);
        return stream.Command(CommandType.PostcopyRamDiscard, payload.AsSpan(0, size));
    }

    /// <summary>With the PINGs of a QEMU from 10.2 on, unless others are given.</summary>
    public static RecordedStream Package(RecordedStream stream, params uint[] pings)
    {
        var devices = new RecordedStream().Command(CommandType.PostcopyListen)
            .Raw(DeviceState.Wrap("test", new byte[] { 9, 8, 7 }).Sections.Span);
        var package = (pings is [] ? s_pingsOfQemu : pings).Aggregate(devices, static (all, ping) => all.Ping(ping))
            .Command(CommandType.PostcopyRun).Bytes;
        var length = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(length, (uint)package.Length);
        return stream.Command(CommandType.Packaged, length).Raw(package);
    }

    /// <summary>Asks for the bitmaps of both blocks, as the first thing on a recovered channel.</summary>
    public static byte[] Questions() =>
        [.. new RecordedStream()
            .Command(CommandType.ReceivedBitmap, Name(RecordedStream.Block)).Command(CommandType.ReceivedBitmap, Name("other")).Bytes];

    public ScriptedPeer Connect(params ReadOnlySpan<byte> bytes) => ConnectFrom("127.0.0.1", bytes);

    public ScriptedPeer ConnectFrom(string address, params ReadOnlySpan<byte> bytes)
    {
        var peer = ScriptedPeer.Connect(Destination.LocalAddresses[0], IPAddress.Parse(address));
        _connections.Add(peer);
        return peer.Send(bytes);
    }

    /// <summary>Hands the guest over and hears that it starts.</summary>
    public async Task<ScriptedPeer> SwitchAsync(params uint[] pings)
    {
        var main = Connect(Switched(pings).Bytes);
        foreach (var value in (uint[])[1, .. pings is [] ? s_pingsOfQemu : pings])
        {
            await ExpectAsync(main, bytes => ReturnPathWriter.WritePong(bytes, value));
        }

        return main;
    }

    /// <summary>The content of a page as a record of a section or of the preempt channel.</summary>
    public RecordedStream Page(RecordedStream stream, long page, string block = RecordedStream.Block)
    {
        Assert.True(Memory.TryGetBlock(block, out var found));
        return stream.Page(page, found.Span(page * TargetPage.Size, TargetPage.Size), block);
    }

    public byte[] Part(params long[] pages)
    {
        var stream = new RecordedStream().Begin(SectionType.Part);
        return pages.Aggregate(stream, (all, page) => Page(all, page)).EndSection().Bytes;
    }

    /// <summary>The page of the other block, and the end.</summary>
    public byte[] End() => Page(new RecordedStream().Begin(SectionType.End), 0, "other").EndSection().Raw(0).Bytes;

    /// <summary>Waits until a page is in the guest's memory.</summary>
    public async Task HasArrivedAsync(string block, long page)
    {
        Assert.True(Guest.Memory!.TryGetBlock(block, out var here));
        await Eventually.TrueAsync(() => ForeignTouch.IsPresent(here, page), $"page {page} of {block} is there", Token);
    }

    /// <summary>Reads a message of the return path, which must be this one.</summary>
    public static async Task ExpectAsync(ScriptedPeer main, Func<byte[], int> write)
    {
        var expected = new byte[ReturnPathWriter.MaxSize];
        var size = write(expected);
        Assert.Equal(expected[..size], await main.ReceiveAsync(size, Token).WaitAsync(s_patience, Token));
    }

    public static async Task ExpectPongsAsync(ScriptedPeer main, params uint[] values)
    {
        foreach (var value in values)
        {
            await ExpectAsync(main, bytes => ReturnPathWriter.WritePong(bytes, value));
        }
    }

    public static Task ExpectShutAsync(ScriptedPeer main) => ExpectAsync(main, static bytes => ReturnPathWriter.WriteShut(bytes, 0));

    public static Task ExpectRequestAsync(ScriptedPeer main, long page) => ExpectAsync(
        main, bytes => ReturnPathWriter.WriteRequestPages(
            bytes, Encoding.UTF8.GetBytes(RecordedStream.Block), page * TargetPage.Size, TargetPage.Size));

    public static async Task ExpectBitmapAsync(ScriptedPeer main, string block, ulong bits)
    {
        await ExpectAsync(main, bytes => ReturnPathWriter.WriteReceivedBitmap(bytes, Encoding.UTF8.GetBytes(block)));
        byte[] expected = [0, 0, 0, 0, 0, 0, 0, 8, .. BitConverter.GetBytes(bits), 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
        Assert.Equal(expected, await main.ReceiveAsync(expected.Length, Token).WaitAsync(s_patience, Token));
    }

    /// <summary>Somebody in the guest needs a page, and waits.</summary>
    public Task<byte[]> TouchAsync(long page, string block = RecordedStream.Block)
    {
        Assert.True(Guest.Memory.TryGetBlock(block, out var here));
        return Task.Factory.StartNew(() => ForeignTouch.Read(here, page), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>The switch, the first page, and then the link is lost: the destination is paused.</summary>
    public async Task LoseLinkAsync()
    {
        var main = await SwitchAsync();
        main.Send(Part(0));
        await TouchAsync(0);
        main.Reset();
        await PausedAsync(1);
    }

    public Task PausedAsync(int times) => Eventually.TrueAsync(() => Guest.Pauses.Count == times, $"pause {times}", Token);

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in _connections)
        {
            connection.Dispose();
        }

        await Destination.DisposeAsync();
        await Task.WhenAny(Receiving).WaitAsync(TimeSpan.FromSeconds(30), CancellationToken.None);
        Guest.Dispose();
        Memory.Dispose();
    }

    private static RamBlock Block(string name, int pages)
    {
        var block = RamBlock.Allocate(name, pages * TargetPage.Size, RamAllocation.Default with { HugePages = false });
        new Random(name.Length).NextBytes(block.Span(0, (int)block.Length));
        return block;
    }

    private static byte[] Name(string name) => [(byte)name.Length, .. Encoding.UTF8.GetBytes(name)];

    private static byte[] Payload(Action<byte[]> write)
    {
        var payload = new byte[PostcopyAdvise.Size];
        write(payload);
        return payload;
    }
}
