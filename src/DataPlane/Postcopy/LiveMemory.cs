using System.Collections.Concurrent;
using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// The memory of a guest that runs while pages are missing: registered with userfaultfd, so that who touches a missing page waits for it.
/// </summary>
/// <remarks>
/// <para>Managed code must not touch this memory between <see cref="Arm"/> and <see cref="Release"/>: a thread that waits for a page in
/// managed code holds up
/// the garbage collector, and with it whoever could bring the page. System calls and P/Invoke may.</para>
/// <para>It is given back in two ways only: <see cref="Release"/> when nothing is missing or nobody will ever run on it, else <see
/// cref="Poison()"/>. Plain closing
/// would let the guest read zeros for what is missing.</para>
/// </remarks>
internal sealed partial class LiveMemory : IPageStore
{
    /// <summary>
    /// Those of memory that could not be closed to its readers. Nobody uses them any more, so the garbage collector would close them, and
    /// that lets every blocked reader go on with zeros: a guest that computes with them is worse than one that stands.
    /// </summary>
    private static readonly ConcurrentBag<Userfaultfd> s_keptForEver = [];

    /// <summary>For the test that has made one.</summary>
    internal static ConcurrentBag<Userfaultfd> KeptForEver => s_keptForEver;

    private const ulong NeededCalls = (1UL << Userfaultfd.CopyNumber) | (1UL << Userfaultfd.WakeNumber);

    private readonly ReceivedPages _pages;
    private readonly PageLedger _ledger;
    private readonly BlockAddresses _addresses;
    private Userfaultfd? _faults;

    private readonly UserfaultFeatures _wanted;

    /// <param name="pages">What has arrived, and the memory.</param>
    /// <param name="ledger">What is here and what is asked for.</param>
    /// <param name="wanted">Features that the kernel is asked for where it has them.</param>
    public LiveMemory(ReceivedPages pages, PageLedger ledger, UserfaultFeatures wanted = UserfaultFeatures.Poison)
    {
        _wanted = wanted;
        _pages = pages;
        _ledger = ledger;
        _addresses = new BlockAddresses(pages.Memory);
        _prepared = new bool[pages.Memory.Blocks.Count];
        _isPrivate = new bool[pages.Memory.Blocks.Count];
        _dropped = new GuestPageSet(pages.Memory);
    }

    /// <summary>Where faults are read, from <see cref="Arm"/> on.</summary>
    public Userfaultfd Faults => _faults ?? throw new InvalidOperationException("the memory is not registered");

    /// <summary>Whether this process may handle missing pages at all.</summary>
    /// <exception cref="IOException">It may not; says why and what opens it.</exception>
    public static void CheckSupported()
    {
        if (MissingPageSupport.FindObstacle() is { } obstacle)
        {
            throw new IOException(obstacle);
        }
    }

    /// <summary>Whether the kernel can place missing pages in every block.</summary>
    /// <exception cref="IOException">It cannot.</exception>
    public static void CheckBlocks(GuestMemory memory)
    {
        using var faults = Userfaultfd.OpenForMissingPages();
        foreach (var block in memory.BlockSpan)
        {
            Register(faults, block);
        }
    }

    /// <summary>
    /// Gives up whatever is not received, and registers everything unless <see cref="Drop"/> has: from now on each touch of a missing page
    /// is a fault that somebody reads.
    /// </summary>
    public void Arm()
    {
        foreach (var block in _pages.Memory.BlockSpan)
        {
            Prepare(block);
            DropMissing(block);
        }

        _dropper.Flush();

        EnsureRegistered();
    }

    /// <summary>The block and page of an address.</summary>
    public bool TryFind(ulong address, out RamBlock block, out long page) => _addresses.TryFind(address, out block, out page);

    /// <inheritdoc/>
    public bool Place(RamBlock block, long offset, nint source, long length)
    {
        var absent = true;
        for (long done = 0; done < length;)
        {
            var errno = Faults.Copy(block.Address + (nint)(offset + done), source + (nint)done, length - done, out var placed);
            done += placed;
            if (errno == Errno.EEXIST && !IsThere(block, offset + done))
            {
                // Of huge pages the kernel says so too when the system has none left, and there is nothing at this place.
                errno = Errno.ENOMEM;
            }

            absent &= IsPlaced(errno, "ioctl(UFFDIO_COPY)", block, offset, ref done);
        }

        return absent;
    }

    /// <inheritdoc/>
    public bool PlaceZeros(RamBlock block, long offset, long length)
    {
        var absent = true;
        if (block.HostPageSize != TargetPage.Size)
        {
            // There is no call for zeros of reserved huge pages.
            for (long done = 0; done < length; done += block.HostPageSize)
            {
                absent &= Place(block, offset + done, ZeroBuffer.Address, block.HostPageSize);
            }

            return absent;
        }

        for (long done = 0; done < length;)
        {
            var errno = Faults.ZeroPages(block.Address + (nint)(offset + done), length - done, out var placed);
            done += placed;
            absent &= IsPlaced(errno, "ioctl(UFFDIO_ZEROPAGE)", block, offset, ref done);
        }

        return absent;
    }

    /// <summary>
    /// Somebody waits for a page that has been received: it came in between, or it came as zeros before the switch and was never touched.
    /// </summary>
    public void PlaceReceived(RamBlock block, long page)
    {
        var offset = page << TargetPage.Shift & -block.HostPageSize;
        if (!PlaceZeros(block, offset, block.HostPageSize))
        {
            Faults.Wake(block.Address + (nint)offset, block.HostPageSize);
        }
    }

    /// <summary>
    /// Nothing is missing any more, or nobody will run on this memory: it is ordinary memory again, and what has not come reads as zero.
    /// </summary>
    public void Release()
    {
        if (Interlocked.Exchange(ref _faults, null) is not { } faults)
        {
            return;
        }

        var teardown = new Teardown();
        foreach (var block in _pages.Memory.Blocks)
        {
            teardown.Run(() => faults.Unregister(block.Address, block.Length));
        }

        faults.Dispose();
        teardown.ThrowIfFailed();
    }

    /// <summary>
    /// The guest will never get what is missing: whoever touches a missing page from now on is stopped by the kernel (SIGBUS, before Linux
    /// 6.6 SIGSEGV; in system calls and for a vCPU EFAULT) instead of reading zeros.
    /// </summary>
    /// <exception cref="LinuxException">
    /// A block can be made unreadable in no way: its memory stays registered, and who touches a missing page waits for as long as this
    /// process lives.
    /// </exception>
    public void Poison() => Poison(MissingPageGuard.Close);

    /// <summary>The same with another way to close a block's missing pages; a parameter for the tests.</summary>
    internal void Poison(Action<Userfaultfd, RamBlock, Action<Action<long, long>>> close)
    {
        if (_faults is not { } faults)
        {
            return;
        }

        var teardown = new Teardown();
        foreach (var block in _pages.Memory.Blocks)
        {
            teardown.Run(() => close(faults, block, action => ForEachMissing(block, action)));
        }

        if (teardown.Failure is not null)
        {
            s_keptForEver.Add(faults);
        }

        teardown.ThrowIfFailed();
        Release();
    }

    private void EnsureRegistered()
    {
        if (_faults is not null)
        {
            return;
        }

        var faults = Userfaultfd.OpenForMissingPages(_wanted);
        try
        {
            foreach (var block in _pages.Memory.BlockSpan)
            {
                Register(faults, block);
            }

            _faults = faults;
        }
        catch
        {
            faults.Dispose();
            throw;
        }
    }

    private static void Register(Userfaultfd faults, RamBlock block)
    {
        ulong calls;
        try
        {
            calls = faults.Register(block.Address, block.Length, UserfaultRegister.ModeMissing);
        }
        catch (LinuxException refused)
        {
            throw new IOException($"RAM block '{block.Name}' cannot be completed page by page: {refused.Message}", refused);
        }

        if ((calls & NeededCalls) != NeededCalls)
        {
            throw new IOException($"RAM block '{block.Name}' cannot be completed page by page: the kernel offers the calls {calls:x} only");
        }
    }

    /// <summary>What one call has come to: true with nothing wrong, false for a page that was there, which is stepped over.</summary>
    private static bool IsPlaced(int errno, string call, RamBlock block, long offset, ref long done)
    {
        switch (errno)
        {
            case 0:
            case Errno.EAGAIN: // stopped after some pages, or the mappings of this process are being changed
                return true;
            case Errno.EEXIST:
                done += block.HostPageSize;
                return false;
            default:
                throw new LinuxException(call, errno, $"block '{block.Name}' at 0x{offset + done:x}");
        }
    }
}
