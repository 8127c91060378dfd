using System.Collections.Concurrent;
using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Places pages in the memory of a guest that runs while pages are missing. The memory is registered with userfaultfd, so that a thread
/// that touches a missing page waits for it.
/// </summary>
/// <remarks>
/// <para>Managed code must not touch this memory between <see cref="Arm"/> and <see cref="Release"/>: a thread that waits for a page in
/// managed code blocks the garbage collector, and with it the threads that could bring the page. System calls and P/Invoke may touch
/// it.</para>
/// <para>The memory is given back in only two ways: by <see cref="Release"/> if nothing is missing or nobody will ever run on it, else by
/// <see cref="Poison()"/>. Just closing the userfaultfd would let the guest read zeros for missing pages.</para>
/// </remarks>
internal sealed class UserfaultPageStore : IPageStore
{
    /// <summary>
    /// The userfaultfds of memory whose missing pages could not be made unreadable. Without a reference the garbage collector would close
    /// them, and every blocked reader would go on with zeros: a guest that computes with zeros is worse than one that stands still.
    /// Tests take theirs out and close them.
    /// </summary>
    public static ConcurrentBag<Userfaultfd> KeptForEver { get; } = [];

    private const ulong NeededCalls = (1UL << Userfaultfd.CopyNumber) | (1UL << Userfaultfd.WakeNumber);

    private readonly ReceivedPages _pages;
    private readonly BlockAddresses _addresses;
    private readonly MissingRanges _missing;
    private readonly PageDropper _dropper;
    private readonly UserfaultFeatures _wanted;
    private Userfaultfd? _faults;

    /// <param name="pages">The record of the pages that have arrived, and the memory.</param>
    /// <param name="ledger">The record of the pages that are here and of those that are asked for.</param>
    /// <param name="wanted">Optional features, which the kernel is asked for if it has them.</param>
    public UserfaultPageStore(ReceivedPages pages, PageLedger ledger, UserfaultFeatures wanted = UserfaultFeatures.Poison)
    {
        _wanted = wanted;
        _pages = pages;
        _addresses = new BlockAddresses(pages.Memory);
        _missing = new MissingRanges(pages, ledger);
        _dropper = new PageDropper(pages, _missing);
    }

    /// <summary>The userfaultfd from which faults are read. It exists from the first <see cref="Drop"/> or <see cref="Arm"/> on.</summary>
    public Userfaultfd Faults => _faults ?? throw new InvalidOperationException("the memory is not registered");

    /// <summary>Checks that this process may handle missing pages at all.</summary>
    /// <exception cref="IOException">It may not. The message tells the reason, and how to permit it.</exception>
    public static void CheckSupported()
    {
        if (MissingPageSupport.FindObstacle() is { } obstacle)
        {
            throw new IOException(obstacle);
        }
    }

    /// <summary>Checks that the kernel can place missing pages in every block.</summary>
    /// <exception cref="IOException">It cannot for one of the blocks, or this process may not handle missing pages.</exception>
    public static void CheckBlocks(GuestMemory memory)
    {
        using var faults = Userfaultfd.OpenForMissingPages();
        foreach (var block in memory.BlockSpan)
        {
            Register(faults, block);
        }
    }

    /// <summary>
    /// Drops the contents of pages that the source will send again. May be called before <see cref="Arm"/>, while the guest still runs at
    /// its source. All memory is registered first: a touch in between would otherwise get a page of zeros, which would never count as
    /// missing.
    /// </summary>
    public void Drop(RamBlock block, long firstPage, long pageCount)
    {
        EnsureRegistered();
        _dropper.Drop(block, firstPage, pageCount);
    }

    /// <summary>
    /// Drops the contents of all pages that have not been received, and registers all memory unless <see cref="Drop"/> has done so. From
    /// now on each touch of a missing page is a fault, which somebody must read from <see cref="Faults"/>.
    /// </summary>
    public void Arm()
    {
        _dropper.DropMissing();
        EnsureRegistered();
    }

    /// <summary>Finds the block and the target page of an address. Returns false if no block contains it.</summary>
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
                // For huge pages the kernel also reports EEXIST when the system has none left, although the place is empty.
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
            // The kernel has no call that places zeros in reserved huge pages.
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
    /// Lets threads go on that wait for a page that has been received. The page came meanwhile, or it came as a zero page before the switch
    /// and has never been touched.
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
    /// Turns the memory into ordinary memory again, because nothing is missing or nobody will run on it. Pages that have not come read as
    /// zero.
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
    /// Makes all missing pages unreadable for good, because they will never come. From now on the kernel stops a thread that touches one
    /// (with SIGBUS, before Linux 6.6 with SIGSEGV; system calls and vCPUs get EFAULT) instead of giving it zeros.
    /// </summary>
    /// <exception cref="LinuxException">
    /// There is no way to make the missing pages of some block unreadable. All memory stays registered then, and a thread that touches a
    /// missing page waits for as long as this process lives.
    /// </exception>
    public void Poison() => Poison(MissingPageGuard.Close);

    /// <summary>
    /// Does what <see cref="Poison()"/> does, but closes the missing pages of each block by <paramref name="close"/>; for tests.
    /// </summary>
    public void Poison(Action<Userfaultfd, RamBlock, Action<Action<long, long>>> close)
    {
        if (_faults is not { } faults)
        {
            return;
        }

        var teardown = new Teardown();
        foreach (var block in _pages.Memory.Blocks)
        {
            teardown.Run(() => close(faults, block, action => _missing.ForEach(block, action)));
        }

        if (teardown.Failure is not null)
        {
            KeptForEver.Add(faults);
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

    /// <summary>Whether a host page is present; always true for 4 KiB pages, and where the kernel does not tell.</summary>
    private static unsafe bool IsThere(RamBlock block, long offset)
    {
        if (block.HostPageSize == TargetPage.Size)
        {
            return true;
        }

        byte page;
        // SAFETY: the call asks about one 4 KiB page, at the first byte of a huge page, and its answer is one byte.
        return MemoryCalls.FindPages(block.Address + (nint)offset, TargetPage.Size, &page) != 0 || (page & 1) != 0;
    }

    /// <summary>
    /// Evaluates the result of one call. Returns true if nothing was wrong, and false for a page that was there already, which is skipped.
    /// </summary>
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
