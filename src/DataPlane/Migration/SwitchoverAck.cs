using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>
/// Decides whether a destination sends SWITCHOVER_ACK, which lets a source whose capability <c>switchover-ack</c> is on switch over
/// (specification, 2-main-stream section 4.3).
/// </summary>
/// <remarks>
/// Nothing on the wire tells whether the capability is on. Up to machine type 11.0 a source that has it waits for one message, without
/// which it sends round after round for ever; if the capability is off, the message changes nothing. From 11.1 on a source waits only for
/// what its devices ask for, and a message that nobody asked for ends the migration. QEMU 7.2 and 8.0 do not know the message, and it ends
/// the migration there, too. QEMU's own destination decides by its own capability; ours decides by the source's machine type, which from
/// 8.1 on proves that the source knows the message.
/// </remarks>
internal static class SwitchoverAck
{
    private static readonly Version s_since = new(8, 1);
    private static readonly Version s_onRequestSince = new(11, 1);

    /// <summary>Whether SWITCHOVER_ACK is sent when the return path is open.</summary>
    /// <param name="announced">The name of the machine type in the stream.</param>
    /// <param name="machine">The machine type as which the source behaves, where the options name one.</param>
    /// <param name="peer">The version of the source's QEMU, where the options name one.</param>
    public static bool IsDue(string announced, string? machine, Version? peer)
    {
        var name = machine ?? announced;
        if (PeerDialect.IsOwn(announced) || MachineType.Parse(name).ExpectsUnaskedSwitchoverAck == false)
        {
            return false;
        }

        var behaves = PeerDialect.VersionOf(name);
        // Which messages a source knows depends on its program, which is no older than its machine type. How it waits depends on its
        // machine type or, if that has no version, on the newest machine type of its program.
        var knows = peer ?? behaves;
        return knows >= s_since && (behaves is not null || knows < s_onRequestSince);
    }
}
