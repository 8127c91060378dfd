using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary>struct uffdio_api.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultApi
{
    internal const ulong Version = 0xAA;

    internal ulong Api;
    internal ulong Features;
    internal ulong Ioctls;
}

/// <summary>struct uffdio_register.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UserfaultRegister
{
    internal const ulong ModeMissing = 1;
    internal const ulong ModeWriteProtect = 2;

    internal ulong Start;
    internal ulong Length;
    internal ulong Mode;
    internal ulong Ioctls;
}

/// <summary>UFFD_FEATURE_*: what a userfaultfd is asked for when it is opened.</summary>
[Flags]
internal enum UserfaultFeatures : ulong
{
    None = 0,

    /// <summary>Write protection works on shared memory too.</summary>
    WriteProtectShared = 1 << 12,

    /// <summary>Write protection covers pages that are not there yet.</summary>
    WriteProtectUnpopulated = 1 << 13,

    /// <summary>The kernel lifts the protection at the first write by itself; nobody has to handle a fault.</summary>
    WriteProtectAsync = 1 << 15,
}
