using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>
/// Makes pages that will never come unreadable for good, so that nobody takes them for zeros. It uses UFFDIO_POISON where the kernel has it
/// (Linux 6.6), else it takes away the protection of the pages. A process has a limited number of mappings (65,530 by default). If the
/// missing ranges need more, the whole block becomes unreadable, because a guest that computes with zeros is worse than the loss of what
/// the block holds.
/// </summary>
internal static class MissingPageGuard
{
    /// <summary>
    /// Makes all missing pages of a block unreadable. Threads that wait for one of them go on waiting until the block is unregistered.
    /// </summary>
    /// <param name="faults">The userfaultfd that the block is registered with.</param>
    /// <param name="block">The block.</param>
    /// <param name="forEachMissing">Calls back with offset and length, in bytes, of each missing range.</param>
    /// <exception cref="LinuxException">The kernel permits no way to make them unreadable.</exception>
    public static void Close(Userfaultfd faults, RamBlock block, Action<Action<long, long>> forEachMissing)
    {
        try
        {
            forEachMissing((offset, length) =>
            {
                if ((faults.Features & UserfaultFeatures.Poison) == 0 || !TryPoison(faults, block, offset, length))
                {
                    TakeProtection(block, offset, length);
                }
            });
        }
        catch (LinuxException refused) when (refused.Errno == Errno.ENOMEM)
        {
            TakeProtection(block, 0, block.Length);
        }
    }

    private static bool TryPoison(Userfaultfd faults, RamBlock block, long offset, long length)
    {
        for (long done = 0; done < length;)
        {
            var errno = faults.Poison(block.Address + (nint)(offset + done), length - done, out var poisoned);
            done += poisoned;
            switch (errno)
            {
                case 0:
                case Errno.EAGAIN: // stopped after some pages, or the mappings of this process are being changed
                    break;
                case Errno.EEXIST:
                    done += block.HostPageSize;
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    private static void TakeProtection(RamBlock block, long offset, long length)
    {
        if (MemoryCalls.ProtectMemory(block.Address + (nint)offset, (nuint)length, MemoryCalls.ProtNone) != 0)
        {
            throw new LinuxException("mprotect", Marshal.GetLastPInvokeError(), $"block '{block.Name}' at 0x{offset:x}");
        }
    }
}
