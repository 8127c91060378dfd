using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// A saved VM as a guest that can be migrated: a mapped-ram file, written by <see cref="MappedRamGuest"/> or by QEMU 9.0 and later
/// (<c>migrate file:</c>), whose pages go from the page cache to the sockets.
/// </summary>
/// <remarks>
/// <para>The file is mapped for reading and is not changed. Pages without data are known from the file's bitmaps and holes, so they are not
/// read, and no page of a plain channel is touched in user space. The file must not become shorter while it is open.</para>
/// <para>Not thread-safe; a migration makes its calls one after the other.</para>
/// </remarks>
public sealed class MappedRamSource : IMigratableGuest, IDisposable
{
    /// <summary>
    /// Limit of the RAM of a file, which is more than any machine has. A sparse file could claim more, and its bitmaps would cost memory.
    /// </summary>
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

    /// <summary>The UUID given to <see cref="Open"/>, otherwise that of the file; <see cref="Guid.Empty"/> if there is neither.</summary>
    public Guid Uuid => _uuid ?? _info.Configuration.Uuid ?? Guid.Empty;

    /// <summary>Whether the file carries a UUID, which every destination must then have.</summary>
    public bool ValidatesUuid => _info.Configuration.Uuid is not null;

    /// <summary>Whether the file states the target page size (Arm machines), which must then be sent to every destination.</summary>
    public bool AnnouncesTargetPageSize => _info.Configuration.TargetPageBits is not null;

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> EarlySections => _info.State.EarlySections;

    /// <summary>The pages of the file as the guest's memory, which may only be read.</summary>
    public GuestMemory Memory { get; }

    /// <inheritdoc/>
    public GuestPageSet PagesHoldingData => _holdingData;

    /// <summary>The devices of the VM, opaque except for their names and places.</summary>
    public DeviceState Devices => _info.State;

    /// <summary>Always false, because a saved guest does not run.</summary>
    public bool IsRunning => false;

    /// <summary>Opens a file and reads everything except its pages.</summary>
    /// <param name="path">The file.</param>
    /// <param name="uuid">The UUID of the VM, for a file without one if the waiting QEMU has one; otherwise null.</param>
    /// <exception cref="InvalidDataException">
    /// The file is not a saved VM, belongs to a VM with another UUID, is damaged, or holds something that cannot be sent. The message
    /// explains what and where.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read the file.</exception>
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

    /// <summary>Counts the pages of a block of which the file holds data; the others are zero.</summary>
    public long CountPagesHoldingData(RamBlock block) => _holdingData[block].CountSet();

    /// <summary>Hashes each block over its whole length; pages without data count as zeros.</summary>
    /// <exception cref="IOException">The file cannot be read, or became shorter.</exception>
    public IReadOnlyList<BlockDigest> ComputeDigests() =>
        [.. _info.Blocks.Zip(Memory.Blocks, (place, block) => BlockDigest.Compute(_file, place, _holdingData[block]))];

    /// <summary>Unmaps and closes the file.</summary>
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

    /// <summary>
    /// Clears the bits of pages that lie in holes. Such pages are zero even if their bits are set, because a copy of a file may have more
    /// holes than the file.
    /// </summary>
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
