using System.Buffers;
using System.IO.Compression;
using System.IO.Pipelines;
using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream;

/// <summary>Builds main streams record by record, legal ones and others.</summary>
internal sealed class RecordedStream
{
    public const string Block = "pc.ram";
    public const int Pages = 4;
    public const uint Section = 4;

    private readonly ArrayBufferWriter<byte> _bytes = new();

    public byte[] Bytes => _bytes.WrittenSpan.ToArray();

    public static byte[] PageContent(byte seed)
    {
        var page = new byte[TargetPage.Size];
        new Random(seed).NextBytes(page);
        return page;
    }

    /// <summary>The least a source must send: header, block list, one PART, one END, devices.</summary>
    public static RecordedStream Complete(bool returnPath = true)
    {
        var stream = new RecordedStream().Header();
        if (returnPath)
        {
            stream.Command(CommandType.OpenReturnPath).Ping(1);
        }

        return stream.Start()
            .Begin(SectionType.Part).Page(0, PageContent(1)).PageAgain(1, PageContent(2)).ZeroAgain(2).EndSection()
            .Command(CommandType.SwitchoverStart)
            .Begin(SectionType.End).PageAgain(3, PageContent(3)).EndSection()
            .Devices();
    }

    public RecordedStream Raw(params ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public RecordedStream Header(string machine = "pc-q35-11.1", params string[] capabilities)
    {
        StreamHeader.Write(_bytes.GetSpan(StreamHeader.Size));
        _bytes.Advance(StreamHeader.Size);
        new ConfigurationSection { MachineName = machine, Capabilities = capabilities }.Write(_bytes);
        return this;
    }

    public RecordedStream Command(CommandType type, params ReadOnlySpan<byte> payload)
    {
        CommandHeader.Write(_bytes.GetSpan(CommandHeader.Size), type, payload.Length);
        _bytes.Advance(CommandHeader.Size);
        return Raw(payload);
    }

    public RecordedStream Ping(uint value) =>
        Command(CommandType.Ping, (byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value);

    public RecordedStream Begin(SectionType type, uint id = Section)
    {
        _bytes.Advance(SectionHeader.Write(_bytes.GetSpan(SectionHeader.MaxSize), type, id));
        return this;
    }

    public RecordedStream BeginStart(string name = "ram", uint version = 4, uint id = Section)
    {
        _bytes.Advance(SectionHeader.Write(
            _bytes.GetSpan(SectionHeader.MaxSize), SectionType.Start, id, System.Text.Encoding.UTF8.GetBytes(name), 0, version));
        return this;
    }

    public RecordedStream BlockList(params (string Name, long Length)[] blocks)
    {
        Record(RamFlags.MemorySize, blocks.Sum(static block => block.Length));
        foreach (var (name, length) in blocks)
        {
            new RamBlockEntry(name, length).Write(_bytes);
        }

        return this;
    }

    public RecordedStream Start(bool flush = false)
    {
        BeginStart().BlockList((Block, Pages * TargetPage.Size), ("other", TargetPage.Size));
        return (flush ? Record(RamFlags.MultifdFlush, 0) : this).EndSection();
    }

    public RecordedStream Record(RamFlags flags, long offset, string? block = null)
    {
        _bytes.Advance(RamRecordHeader.Write(
            _bytes.GetSpan(RamRecordHeader.MaxSize), flags, offset, block is null ? default : System.Text.Encoding.UTF8.GetBytes(block)));
        return this;
    }

    public RecordedStream Page(long page, ReadOnlySpan<byte> content, string block = Block) =>
        Record(RamFlags.Page, page * TargetPage.Size, block).Raw(content);

    public RecordedStream PageAgain(long page, ReadOnlySpan<byte> content) =>
        Record(RamFlags.Page | RamFlags.Continue, page * TargetPage.Size).Raw(content);

    public RecordedStream ZeroAgain(long page, byte fill = 0) =>
        Record(RamFlags.Zero | RamFlags.Continue, page * TargetPage.Size).Raw(fill);

    public RecordedStream Xbzrle(long page, ReadOnlySpan<byte> delta)
    {
        Record(RamFlags.Xbzrle | RamFlags.Continue, page * TargetPage.Size);
        XbzrleHeader.Write(_bytes.GetSpan(XbzrleHeader.Size), delta.Length);
        _bytes.Advance(XbzrleHeader.Size);
        return Raw(delta);
    }

    public RecordedStream Compressed(long page, ReadOnlySpan<byte> content)
    {
        using var zlib = new MemoryStream();
        using (var deflate = new ZLibStream(zlib, CompressionLevel.Fastest, leaveOpen: true))
        {
            deflate.Write(content);
        }

        Record(RamFlags.CompressedPage | RamFlags.Continue, page * TargetPage.Size);
        CompressedPageHeader.Write(_bytes.GetSpan(CompressedPageHeader.Size), (int)zlib.Length);
        _bytes.Advance(CompressedPageHeader.Size);
        return Raw(zlib.ToArray());
    }

    public RecordedStream EndSection(uint id = Section)
    {
        Record(RamFlags.EndOfSection, 0);
        SectionFooter.Write(_bytes.GetSpan(SectionFooter.Size), id);
        _bytes.Advance(SectionFooter.Size);
        return this;
    }

    /// <summary>A whole section whose body is these bytes.</summary>
    public RecordedStream Foreign(SectionType type, uint id, ReadOnlySpan<byte> body, string name = "dirty-bitmap", uint version = 1)
    {
        (type == SectionType.Start ? BeginStart(name, version, id) : Begin(type, id)).Raw(body);
        SectionFooter.Write(_bytes.GetSpan(SectionFooter.Size), id);
        _bytes.Advance(SectionFooter.Size);
        return this;
    }

    public RecordedStream Devices()
    {
        var devices = DeviceState.Wrap("test", new byte[] { 9, 8, 7 });
        Raw(devices.Sections.Span).Raw(0);
        VmDescriptionHeader.Write(_bytes.GetSpan(VmDescriptionHeader.Size), devices.Description.Length);
        _bytes.Advance(VmDescriptionHeader.Size);
        return Raw(devices.Description.Span);
    }
}

/// <summary>Reads a recorded stream with the product's reader and keeps what it said.</summary>
internal sealed class StreamRun : IMainStreamEvents, IDisposable
{
    private readonly ArrayBufferWriter<byte> _answers = new();

    public ReceivedPages? Pages { get; private set; }

    public ConfigurationSection? Configuration { get; private set; }

    public DeviceState? Devices { get; private set; }

    public int Marks { get; private set; }

    public bool ReturnPathOpened { get; private set; }

    public bool IsBackgroundSnapshot { get; private set; }

    public bool RamComplete { get; private set; }

    /// <summary>Called at each mark.</summary>
    public Func<int, Task>? OnMark { get; init; }

    public async Task<byte[]> ReadAsync(
        PipeReader input, bool multifd = false, long maxRamBytes = 1 << 20, int maxDeviceStateBytes = 1 << 20, bool isWhole = false)
    {
        var options = new MainStreamOptions { Multifd = multifd, MaxRamBytes = maxRamBytes, MaxDeviceStateBytes = maxDeviceStateBytes };
        var reader = new MainStreamReader(
            new StreamCursor(input, ChannelId.Main), new ReturnPathSender(new MessageOutbox(null!, Answer)), options, this);
        // What is whole needs no thread, of which some tests would start tens of thousands.
        Devices = isWhole ? reader.Read(TestContext.Current.CancellationToken)
            : await reader.ReadAsync(TestContext.Current.CancellationToken);
        return _answers.WrittenSpan.ToArray();
    }

    public Task<byte[]> ReadAsync(byte[] stream, bool multifd = false) =>
        ReadAsync(PipeReader.Create(new ReadOnlySequence<byte>(stream)), multifd, isWhole: true);

    public byte[] Page(long page, string block = RecordedStream.Block)
    {
        Assert.True(Pages!.Memory.TryGetBlock(block, out var found));
        return found.Span(page * TargetPage.Size, TargetPage.Size).ToArray();
    }

    public void OnConfiguration(ConfigurationSection configuration) => Configuration = configuration;

    public ValueTask OnReturnPathOpenedAsync(CancellationToken cancellationToken)
    {
        ReturnPathOpened = true;
        return default;
    }

    public void OnBackgroundSnapshot() => IsBackgroundSnapshot = true;

    public ValueTask<ReceivedPages> OnRamBlocksAsync(
        IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken)
    {
        var memory = new GuestMemory([.. blocks.Select(static block =>
            RamBlock.Allocate(block.Name, block.Length, RamAllocation.Default with { HugePages = false }))]);
        Pages = new ReceivedPages(memory);
        return new(Pages);
    }

    public Task OnSyncMarkAsync()
    {
        Marks++;
        return OnMark?.Invoke(Marks) ?? Task.CompletedTask;
    }

    public void OnRamComplete() => RamComplete = true;

    public void Dispose() => Pages?.Memory.Dispose();

    private unsafe TransferResult Answer(Span<IoVec> vectors)
    {
        foreach (var vector in vectors)
        {
            _answers.Write(new ReadOnlySpan<byte>((void*)vector.Address, (int)vector.Length));
        }

        return default;
    }
}
