using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>struct uffdio_api.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultApi
{
    public const ulong Version = 0xAA;

    public ulong Api;
    public ulong Features;
    public ulong Ioctls;
}

/// <summary>struct uffdio_register.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultRegister
{
    public const ulong ModeMissing = 1;
    public const ulong ModeWriteProtect = 2;

    public ulong Start;
    public ulong Length;
    public ulong Mode;
    public ulong Ioctls;
}

/// <summary>struct uffdio_range.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultRange
{
    public ulong Start;
    public ulong Length;
}

/// <summary>struct uffdio_copy.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultCopy
{
    public ulong Destination;
    public ulong Source;
    public ulong Length;
    public ulong Mode;

    /// <summary>Set by the kernel: the number of bytes done, or a negative error number.</summary>
    public long Done;
}

/// <summary>struct uffdio_zeropage and struct uffdio_poison, which are laid out alike.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultFill
{
    public ulong Start;
    public ulong Length;
    public ulong Mode;

    /// <summary>Set by the kernel: the number of bytes done, or a negative error number.</summary>
    public long Done;
}

/// <summary>struct uffd_msg, with the fields of a page fault.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct UserfaultMessage
{
    public const byte PageFault = 0x12;

    [FieldOffset(0)]
    public byte Event;

    [FieldOffset(8)]
    public ulong Flags;

    /// <summary>The address of the page that was touched, rounded down to a page of this machine.</summary>
    [FieldOffset(16)]
    public ulong Address;
}

/// <summary>The features (UFFD_FEATURE_*) that a userfaultfd is asked for when it is opened.</summary>
[Flags]
internal enum UserfaultFeatures : ulong
{
    None = 0,

    /// <summary>Missing pages of huge page memory are reported.</summary>
    MissingHuge = 1 << 4,

    /// <summary>Missing pages of memory files and other shared memory are reported.</summary>
    MissingShared = 1 << 5,

    /// <summary>Write protection works on shared memory too.</summary>
    WriteProtectShared = 1 << 12,

    /// <summary>Write protection covers pages that are not there yet.</summary>
    WriteProtectUnpopulated = 1 << 13,

    /// <summary>Missing pages can be made unreadable (Linux 6.6).</summary>
    Poison = 1 << 14,

    /// <summary>The kernel lifts the protection at the first write by itself; nobody has to handle a fault.</summary>
    WriteProtectAsync = 1 << 15,
}
