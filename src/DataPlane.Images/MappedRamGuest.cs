using DataPlane.Linux;
using DataPlane.Wire;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// Receives a VM into a mapped-ram file, from which QEMU 9.0 and later can load it. The file is mapped as the guest's memory, so pages go
/// from the socket to their final place in the page cache.
/// </summary>
/// <remarks>
/// <para>The file is written under another name in the same folder. It gets its own name only when it is complete and on the disk, and then
/// replaces an earlier file of that name. A migration that fails leaves no file.</para>
/// <para>All space is reserved before the first page, because writing to a mapping on a full disk would end the process.</para>
/// <para>Not thread-safe; the migration makes its calls one after the other.</para>
/// </remarks>
public sealed class MappedRamGuest : ISnapshotGuest, IDisposable
{
    /// <summary>A legal id that none of QEMU's own sections has (specification, 2-main-stream section 1.3).</summary>
    private const uint RamSectionBesideEarlyOnes = 0x7FFFFFFF;

    private readonly string _path;
    private readonly string _partialPath;
    private MappedRamLayout? _layout;
    private SafeFileHandle? _file;
    private GuestMemory? _memory;
    private ReceivedPages? _pages;

    private readonly Action<string> _syncDirectory;

    /// <summary>Whether there is a file under the temporary name, which must not outlive a failure.</summary>
    private bool _isPartial;

    /// <summary>What a failure undoes, from the moment at which the new file has its name until the commit is complete.</summary>
    private FileReplacement? _replacement;

    /// <summary>Creates a guest that is received into a file. The file is created when the memory is announced.</summary>
    /// <param name="path">The file that the VM becomes. Its folder must exist.</param>
    /// <exception cref="ArgumentException"><paramref name="path"/> is empty.</exception>
    public MappedRamGuest(string path)
        : this(path, LinuxFile.SyncDirectory)
    {
    }

    /// <summary>Creates a guest with a given function for making renames durable.</summary>
    /// <param name="path">The file that the VM becomes.</param>
    /// <param name="syncDirectory">Makes a rename in a folder durable; a parameter for the tests.</param>
    internal MappedRamGuest(string path, Action<string> syncDirectory)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        _path = Path.GetFullPath(path);
        _partialPath = PartialFile.NameFor(_path);
        _syncDirectory = syncDirectory;
    }

    /// <summary>
    /// Checks, before a VM is awaited, whether it can be received into a file: the folder must exist, files can be created in it, and a
    /// file can take the given name. Also removes the files that killed processes of this user have left in the folder.
    /// </summary>
    /// <param name="path">The file that the VM is to become.</param>
    /// <returns>
    /// True if the file system can reserve space at once. If it cannot (NFSv3, ext2), zeros are written for the whole memory before the
    /// first page is received.
    /// </returns>
    /// <exception cref="IOException">The VM cannot be received into this file; the message explains why.</exception>
    public static bool Prepare(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var full = Path.GetFullPath(path);
        var folder = Path.GetDirectoryName(full);
        if (folder is null || Directory.Exists(full))
        {
            throw new IOException($"'{full}' is a folder, not a file");
        }

        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"the folder of '{full}' does not exist");
        }

        if (FileFacts.TryRead(full, out var there) && there.Kind is not (FileKind.File or FileKind.Link))
        {
            throw new IOException($"'{full}' is a device, a pipe or a socket, not a file that can be replaced");
        }

        try
        {
            PartialFile.Sweep(folder);
            return PartialFile.CanReserve(folder);
        }
        catch (UnauthorizedAccessException refused)
        {
            throw new IOException($"no file can be made in '{folder}': {refused.Message}", refused);
        }
        catch (LinuxException refused)
        {
            throw new IOException($"no file can be made in '{folder}': {refused.Message}", refused);
        }
    }

    /// <summary>The VM as the source has announced it; null until then.</summary>
    public IncomingMachine? Machine { get; private set; }

    /// <summary>Number of bytes of memory in all blocks; 0 until they are announced.</summary>
    public long RamBytes => _memory?.TotalBytes ?? 0;

    /// <summary>The devices of the VM; null before the commit.</summary>
    public DeviceState? Devices { get; private set; }

    /// <inheritdoc/>
    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(machine);
        ArgumentNullException.ThrowIfNull(blocks);
        Machine = machine;
        _layout = MappedRamLayout.Create(new MappedRamContents
        {
            MachineName = machine.Name,
            Uuid = machine.ValidatesUuid ? machine.Uuid : null,
            TargetPageBits = machine.AnnouncesTargetPageSize ? TargetPage.Shift : null,
            EarlySections = machine.EarlySections,
            RamSectionId = machine.EarlySections.IsEmpty ? 1 : RamSectionBesideEarlyOnes,
            Blocks = [.. blocks.Select(static block => new RamBlockEntry(block.Name, block.Length))],
        });
        _file = PartialFile.Create(_partialPath, _layout.TailOffset);
        _isPartial = true;
        _memory = new GuestMemory([.. _layout.Blocks.Select(MapBlock)]);
        return new(_memory);
    }

    /// <inheritdoc/>
    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(devices);
        ArgumentNullException.ThrowIfNull(pages);
        Devices = devices;
        _pages = pages;
        var (layout, file) = (_layout!, _file!);
        foreach (var piece in layout.Pieces)
        {
            RandomAccess.Write(file, piece.Bytes.Span, piece.Offset);
        }

        foreach (var (place, block) in layout.Blocks.Zip(_memory!.Blocks))
        {
            RandomAccess.Write(file, System.Runtime.InteropServices.MemoryMarshal.AsBytes(pages.HoldingData(block).Words),
                place.BitmapOffset);
        }

        RandomAccess.Write(file, layout.BuildTail(devices), layout.TailOffset);
        LinuxFile.SyncData(file);
        // An earlier file of that name may be all that is left of its VM, so it is deleted only when the disk has the new file under its
        // name.
        _replacement = FileReplacement.Begin(_partialPath, _path);
        _isPartial = false; // The temporary name belongs to the old file now, which must not be deleted.
        try
        {
            _syncDirectory(Path.GetDirectoryName(_path)!);
        }
        catch (Exception failure)
        {
            Undo(failure);
            throw;
        }

        _replacement.Finish();
        _replacement = null;
        LinuxFile.Unlock(file);
        return default;
    }

    /// <summary>Gives the space of pages without data back to the disk, so that the file becomes sparse, as QEMU writes it.</summary>
    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        foreach (var (place, block) in _layout!.Blocks.Zip(_memory!.Blocks))
        {
            foreach (var (first, count) in EmptyRuns.Of(_pages!.HoldingData(block)))
            {
                if (!LinuxFile.TryPunchHole(_file!, place.PagesOffset + (first << TargetPage.Shift), count << TargetPage.Shift))
                {
                    return default;
                }
            }
        }

        return default;
    }

    /// <inheritdoc/>
    public ValueTask KeepAsync(CancellationToken cancellationToken) => StartAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask AbandonAsync(Exception cause)
    {
        Dispose();
        return default;
    }

    /// <summary>Hashes each block over its whole length; pages without data count as zeros. To be called only after the commit.</summary>
    public IReadOnlyList<BlockDigest> ComputeDigests() =>
        [.. _memory!.Blocks.Select(block => BlockDigest.Compute(block, _pages!.HoldingData(block)))];

    /// <summary>Releases the mapping, and deletes the file unless it has been committed.</summary>
    public void Dispose()
    {
        _memory?.Dispose();
        _file?.Dispose();
        try
        {
            _replacement?.Undo();
        }
        catch (Exception failure) when (FileReplacement.IsRefusal(failure))
        {
            // The failure of the commit says this already, since it is the second attempt.
        }

        _replacement = null;
        if (_isPartial)
        {
            _isPartial = false;
            File.Delete(_partialPath);
        }
    }

    /// <summary>Restores what was there before the commit. If that is not possible now, <see cref="Dispose"/> tries it again.</summary>
    /// <exception cref="IOException">It was not possible; the message has both reasons.</exception>
    private void Undo(Exception failure)
    {
        try
        {
            _replacement!.Undo();
            _replacement = null;
        }
        catch (Exception refusal) when (FileReplacement.IsRefusal(refusal))
        {
            throw new IOException($"{failure.Message}; and '{_path}' could not be made what it was before: {refusal.Message}", failure);
        }
    }

    private RamBlock MapBlock(MappedRamBlock place)
    {
        var mapping = MemoryMapping.OfFile(_file!, place.PagesOffset, place.Length);
        return RamBlock.Wrap(place.Name, mapping.Address, place.Length, startsZeroed: true, mapping);
    }
}
