using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace DataPlane.QemuTests.Harness;

/// <summary>Sends bytes with a descriptor beside them over a Unix socket (SCM_RIGHTS), for which .NET has no call.</summary>
internal static unsafe partial class DescriptorPassing
{
    private const int SolSocket = 1;
    private const int ScmRights = 1;

    public static void Send(Socket over, ReadOnlySpan<byte> bytes, Socket descriptor)
    {
        fixed (byte* first = bytes)
        {
            var part = new Part { Base = first, Length = (nuint)bytes.Length };
            var rights = new Rights
            {
                Length = (nuint)(sizeof(nuint) + (3 * sizeof(int))),
                Level = SolSocket,
                Type = ScmRights,
                Descriptor = (int)descriptor.Handle,
            };
            var message = new Message { Parts = &part, PartCount = 1, Control = &rights, ControlLength = (nuint)sizeof(Rights) };
            if (SendMessage((int)over.Handle, &message, 0) != bytes.Length)
            {
                throw new IOException($"a descriptor could not be sent: errno {Marshal.GetLastPInvokeError()}");
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int socket, Message* message, int flags);

    [StructLayout(LayoutKind.Sequential)]
    private struct Part
    {
        public byte* Base;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Rights
    {
        public nuint Length;
        public int Level;
        public int Type;
        public int Descriptor;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public void* Name;
        public uint NameLength;
        public Part* Parts;
        public nuint PartCount;
        public Rights* Control;
        public nuint ControlLength;
        public int Flags;
    }
}
