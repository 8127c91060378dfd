using System.Runtime.InteropServices;

namespace DataPlane.Linux;

/// <summary><c>struct msghdr</c> of 64-bit Linux, 56 bytes. The padding after the two 32-bit members comes from the layout rules.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MsgHdr
{
    internal byte* Name;
    internal uint NameLength;
    internal IoVec* Vectors;
    internal nuint VectorCount;
    internal byte* Control;
    internal nuint ControlLength;
    internal int Flags;
}
