using System.Globalization;
using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>A whole main channel into guarded memory, once in large and once in small pieces: both must end in the same way.</summary>
internal sealed class MainStreamTarget(bool postcopy) : IFuzzTarget
{
    private const int MaxRamBytes = 64 * TargetPage.Size;
    private const int MaxDeviceStateBytes = 64 << 10;
    private const string Accepted = "accepted: ";
    private const int LargePiece = 1 << 20;

    // Blocks that the longest record hardly fits into: what is left of one is moved again and again, or continues in the next.
    private const int SmallBlock = 6 << 10;

    private static readonly int[] s_smallPieces = [11, 61, 1021, 4093];

    private readonly BlockPool _largeBlocks = new();
    private readonly BlockPool _smallBlocks = new(blockBytes: SmallBlock);

    public string Reads => postcopy ? "main channel up to the switch of a postcopy, over a pipe, in two chunkings"
        : "main channel of a precopy migration with its device state, over a pipe, in two chunkings";

    public int MaxInputBytes => 48 << 10;

    public long MaxAllocatedBytes => 4 << 20;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var choice = choices.Byte();
        var multifd = (choice & 4) != 0;
        var stream = choices.Rest.ToArray();
        var large = Read(stream, multifd, LargePiece, _largeBlocks);
        var small = Read(stream, multifd, s_smallPieces[choice & 3], _smallBlocks);
        if (large != small)
        {
            throw new OracleException($"in one piece: {large}; in pieces of {s_smallPieces[choice & 3]}: {small}");
        }

        return large.StartsWith(Accepted, StringComparison.Ordinal);
    }

    /// <summary>What came of it, as one line.</summary>
    private string Read(byte[] stream, bool multifd, int piece, BlockPool pool)
    {
        using var events = new Events(postcopy);
        var pipe = new PiecesSource(stream, piece).OpenReader(pool);
        var returnPath = new ReturnPathSender(new MessageOutbox(null!, static _ => default));
        var reader = new MainStreamReader(new StreamCursor(pipe, ChannelId.Main), returnPath,
            new MainStreamOptions
            {
                Multifd = multifd,
                MaxRamBytes = MaxRamBytes,
                MaxDeviceStateBytes = MaxDeviceStateBytes,
                Postcopy = postcopy ? events : null,
            }, events);
        try
        {
            var state = reader.Read(CancellationToken.None);
            events.CheckMemory(mayBeCut: false);
            Check(state, stream, isPackage: reader.PackageBytes > 0);
            return $"{Accepted}{Describe(state)}, {reader.NormalPages} + {reader.ZeroPages} pages, {events.Describe()}";
        }
        catch (ChannelException failure)
        {
            Oracle.Holds(failure.Reason is FailureReason.MalformedStream or FailureReason.ProtocolViolation or FailureReason.LimitExceeded
                or FailureReason.NotSupported or FailureReason.PeerClosed);
            events.CheckMemory(mayBeCut: true);
            return $"{failure.Reason}, {reader.NormalPages} + {reader.ZeroPages} pages, {events.Describe()}";
        }
        finally
        {
            pipe.Complete();
            Oracle.Holds(pool.OutstandingBlocks == 0);
        }
    }

    /// <summary>The sections are bytes of the stream, in it as they would be written again, and the devices lie in them.</summary>
    private static void Check(DeviceState state, ReadOnlySpan<byte> stream, bool isPackage)
    {
        Oracle.Holds(stream.IndexOf(state.Sections.Span) >= 0);
        if (!isPackage)
        {
            var head = new byte[1 + VmDescriptionHeader.Size];
            VmDescriptionHeader.Write(head.AsSpan(1), state.Description.Length);
            byte[] again = [.. state.Sections.Span, .. head, .. state.Description.Span];
            Oracle.Holds(stream.IndexOf(again) >= 0);
        }

        long end = 0;
        foreach (var device in state.Devices)
        {
            Oracle.Holds(device.Length >= 0 && device.Offset >= end && (long)device.Offset + device.Length <= state.Sections.Length);
            end = (long)device.Offset + device.Length;
        }

        if (state.RunState is "running" or "paused")
        {
            Oracle.Holds(state.WithRunState("paused").RunState == "paused");
        }
    }

    private static string Describe(DeviceState state)
    {
        var hash = new HashCode();
        hash.AddBytes(state.EarlySections.Span);
        hash.AddBytes(state.Sections.Span);
        hash.AddBytes(state.Description.Span);
        foreach (var device in state.Devices)
        {
            hash.Add(device);
        }

        return string.Create(
            CultureInfo.InvariantCulture, $"{state.Sections.Length} bytes of {state.Devices.Count} devices ({hash.ToHashCode():x8})");
    }

    private sealed class Events(bool postcopy) : IMainStreamEvents, IPostcopyEvents, IDisposable
    {
        private GuardedGuest? _guest;
        private ReceivedPages? _pages;
        private long _discarded;
        private int _marks;
        private int _stops;

        public void OnConfiguration(ConfigurationSection configuration)
        {
        }

        public ValueTask OnReturnPathOpenedAsync(CancellationToken cancellationToken) => default;

        public void OnBackgroundSnapshot()
        {
        }

        public ValueTask<ReceivedPages> OnRamBlocksAsync(
            IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken)
        {
            Oracle.Holds(_guest is null && blocks.Sum(block => block.Length) <= MaxRamBytes);
            _guest = new GuardedGuest([.. blocks.Select(block => (block.Name, block.Length))]);
            return new ValueTask<ReceivedPages>(_pages = new ReceivedPages(_guest.Memory));
        }

        public Task OnSyncMarkAsync()
        {
            _marks++;
            return Task.CompletedTask;
        }

        public void OnRamComplete()
        {
        }

        public void OnAdvise() => Oracle.Holds(postcopy);

        public long HostPageSizeOf(RamBlock block) => TargetPage.Size;

        public void OnStop() => Oracle.Holds(postcopy && _pages is not null && _stops++ == 0);

        public void OnDiscard(RamBlock block, long firstPage, long pageCount)
        {
            Oracle.Holds(firstPage >= 0 && pageCount > 0 && firstPage <= block.PageCount - pageCount);
            _discarded = unchecked((_discarded * 31) + (firstPage << 20) + pageCount);
            _pages!.Forget(block, firstPage, pageCount);
        }

        /// <param name="mayBeCut">The page that was being written when the stream turned out to be wrong is not reported.</param>
        public void CheckMemory(bool mayBeCut)
        {
            if (_guest is not null)
            {
                Oracle.Holds(_guest.CountUnreported(_pages!) <= (mayBeCut ? 1 : 0));
            }
        }

        public string Describe() => $"{_marks} marks, discards {_discarded:x}, memory {(_guest is null ? "none" : _guest.Digest(_pages!))}";

        public void Dispose() => _guest?.Dispose();
    }
}
