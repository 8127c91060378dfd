using DataPlane.Linux;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// A saved VM as a guest that can leave: a mapped-ram file, written by <see cref="MappedRamGuest"/> or by QEMU 9.0 and later (<c>migrate
/// file:</c>), whose pages go from the page cache to the sockets.
/// </summary>
/// <remarks>
/// <para>The file is mapped for reading and stays as it is. Pages without data are known from the file's bitmaps and holes: they are
/// neither read nor looked for, and no page of a plain channel is touched in user space. The file must not become shorter while it is
/// open.</para>
/// <para>Not thread-safe; a migration calls it in order.</para>
/// </remarks>
public sealed class MappedRamSource : IMigratableGuest, IDisposable
{
    /// <summary>More memory than any machine has; a sparse file that claims more would only cost us its bitmaps.</summary>
    private const long MaxRamBytes = 1L << 46;

    private readonly SafeFileHandle _file;
    private readonly MappedRamImageInfo _info;
    private readonly GuestPageSet _holdingData;
    private readonly Guid? _uuid;

    private MappedRamSource(SafeFileHandle file, MappedRamImageInfo info, GuestMemory memory, GuestPageSet holdingData, Guid? uuid)
    {
        _file = file;
        _info = info;
        Memory = memory;
        _holdingData = holdingData;
        _uuid = uuid;
    }

    /// <inheritdoc/>
    public string MachineName => _info.Configuration.MachineName;

    /// <summary>The UUID given when it was opened, else the file's, else <see cref="Guid.Empty"/>.</summary>
    public Guid Uuid => _uuid ?? _info.Configuration.Uuid ?? Guid.Empty;

    /// <summary>The file carries a UUID, which every destination must have.</summary>
    public bool ValidatesUuid => _info.Configuration.Uuid is not null;

    /// <summary>The file states the target page size (Arm machines), which every destination must be told.</summary>
    public bool AnnouncesTargetPageSize => _info.Configuration.TargetPageBits is not null;

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> EarlySections => _info.State.EarlySections;

    /// <summary>The file's pages, for reading only.</summary>
    public GuestMemory Memory { get; }

    /// <inheritdoc/>
    public GuestPageSet PagesHoldingData => _holdingData;

    /// <summary>Its devices, opaque but for their names and places.</summary>
    public DeviceState Devices => _info.State;

    /// <summary>False: a saved guest stands still.</summary>
    public bool IsRunning => false;

    /// <summary>Opens a file and reads everything but its pages.</summary>
    /// <param name="path">The file.</param>
    /// <param name="uuid">The VM's UUID where the file has none and the waiting QEMU has one; null otherwise.</param>
    /// <exception cref="InvalidDataException">It is no saved VM, it is damaged, or it holds something that cannot be sent: says what and
    /// where.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static MappedRamSource Open(string path, Guid? uuid = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path))
        {
            throw new InvalidDataException($"'{path}' is a folder, not a saved VM");
        }

        var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            var image = ImageBytes.Of(file);
            if (!MappedRamReader.TryRead(image, new MappedRamLimits(MaxRamBytes), 0, out var info, out var error))
            {
                throw new InvalidDataException(
                    $"'{path}' is not a complete saved VM in QEMU's mapped-ram format: {SavedFormat.Describe(image) ?? error}");
            }

            if (info.Configuration.IgnoresShared)
            {
                throw new InvalidDataException($"'{path}' was saved with x-ignore-shared: its memory is not complete without other files");
            }

            if (uuid is not null && info.Configuration.Uuid is { } own && own != uuid)
            {
                throw new InvalidDataException($"'{path}' is the VM {own}, not {uuid}");
            }

            return Map(file, path, image, info, uuid);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public IDirtyTracker CreateDirtyTracker() => throw new NotSupportedException("A saved guest writes nothing.");

    /// <inheritdoc/>
    public ValueTask PauseAsync(CancellationToken cancellationToken) => default;

    /// <inheritdoc/>
    public ValueTask ResumeAsync() => default;

    /// <inheritdoc/>
    public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken) => new(Devices);

    /// <summary>Pages that the file holds data of; the others are zero.</summary>
    public long CountPagesHoldingData(RamBlock block) => _holdingData[block].CountSet();

    /// <summary>Hashes each block over its whole length; pages without data count as zeros.</summary>
    /// <exception cref="IOException">The file cannot be read, or became shorter.</exception>
    public IReadOnlyList<BlockDigest> ComputeDigests() =>
        [.. _info.Blocks.Zip(Memory.Blocks, (place, block) => BlockDigest.Compute(_file, place, _holdingData[block]))];

    /// <summary>Lets the file go.</summary>
    public void Dispose()
    {
        Memory.Dispose();
        _file.Dispose();
    }

    private static MappedRamSource Map(SafeFileHandle file, string path, ImageBytes image, MappedRamImageInfo info, Guid? uuid)
    {
        var blocks = new List<RamBlock>();
        try
        {
            foreach (var place in info.Blocks)
            {
                var mapping = MemoryMapping.OfFileToRead(file, place.PagesOffset, place.Length);
                blocks.Add(RamBlock.Wrap(place.Name, mapping.FirstByte, place.Length, startsZeroed: false, mapping));
            }

            var memory = new GuestMemory(blocks);
            var holdingData = new GuestPageSet(memory);
            foreach (var (place, block) in info.Blocks.Zip(memory.Blocks))
            {
                var pages = holdingData[block];
                if (!pages.TryFill(bytes => image.Read(place.BitmapOffset, bytes) == bytes.Length))
                {
                    throw new InvalidDataException($"'{path}' became shorter while it was read");
                }

                ClearHoles(file, place, pages);
            }

            return new MappedRamSource(file, info, memory, holdingData, uuid);
        }
        catch
        {
            blocks.ForEach(static block => block.Dispose());
            throw;
        }
    }

    /// <summary>A page that lies in a hole is zero, whatever its bit says: a copy of a file may have more holes than the file.</summary>
    private static void ClearHoles(SafeFileHandle file, MappedRamBlock place, PageBitmap pages)
    {
        foreach (var (start, end) in LinuxFile.Holes(file, place.PagesOffset, place.PagesEnd))
        {
            var first = (start - place.PagesOffset + TargetPage.Size - 1) >> TargetPage.Shift;
            var last = (end - place.PagesOffset) >> TargetPage.Shift;
            if (last > first)
            {
                pages.ClearRange(first, last - first);
            }
        }
    }
}
