using System.Buffers.Binary;
using DataPlane.Tests.Admission;

namespace DataPlane.Tests.Guard;

/// <summary>A page of <c>pc.ram</c> for which a guest waits: how QEMU asks for it, and how a source sends it.</summary>
internal sealed class UrgentPage
{
    private UrgentPage(int offset)
    {
        Request = [0, 3, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 6, .. "pc.ram"u8];
        BinaryPrimitives.WriteInt32BigEndian(Request.AsSpan(8), offset);
        Record = [.. Opening.Record(offset, Opening.PageFlag, "pc.ram"), .. new byte[4096]];
    }

    internal static UrgentPage First { get; } = new(0x1234000);

    internal static UrgentPage Second { get; } = new(0x1235000);

    /// <summary>The request on the return path.</summary>
    internal byte[] Request { get; }

    /// <summary>The record on the preempt channel.</summary>
    internal byte[] Record { get; }
}
