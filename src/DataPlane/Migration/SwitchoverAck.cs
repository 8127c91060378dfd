using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>
/// Whether a destination sends SWITCHOVER_ACK, and with that lets a source whose capability <c>switchover-ack</c> is on switch over
/// (specification, 2-main-stream section 4.3).
/// </summary>
/// <remarks>
/// <para>Nothing on the wire says that the capability is on. Up to machine type 11.0 such a source waits for one message, without which it
/// makes pass after pass for ever; where the capability is off the message changes nothing. From 11.1 on a source waits only for what its
/// devices ask for, and a message that nobody asked for ends the migration. QEMU 7.2 and 8.0 do not know the message, and it ends the
/// migration there too. QEMU's own destination knows from its own capability; ours goes by the source's machine type, which from 8.1 on
/// proves that the source knows the message.</para>
/// </remarks>
internal static class SwitchoverAck
{
    private static readonly Version s_since = new(8, 1);
    private static readonly Version s_onRequestSince = new(11, 1);

    /// <summary>Whether one is sent, once the return path is open.</summary>
    /// <param name="announced">Machine type name from the stream.</param>
    /// <param name="machine">The machine type as which the source behaves, where somebody said it.</param>
    /// <param name="peer">Version of the source's QEMU, where somebody said it.</param>
    public static bool IsDue(string announced, string? machine, Version? peer)
    {
        var name = machine ?? announced;
        if (PeerDialect.IsOwn(announced) || MachineType.Parse(name).ExpectsUnaskedSwitchoverAck == false)
        {
            return false;
        }

        var behaves = PeerDialect.VersionOf(name);
        // What a source knows is its program's, and no older than its machine type; how it waits is its machine type's, and without one the
        // newest of its program.
        var knows = peer ?? behaves;
        return knows >= s_since && (behaves is not null || knows < s_onRequestSince);
    }
}
