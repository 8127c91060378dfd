using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Postcopy;

namespace DataPlane.Tool.Send;

/// <summary>What <c>send --postcopy</c> adds to the migration: its control socket, and messages about pauses.</summary>
internal static class SendPostcopy
{
    /// <summary>Makes what controls the migration, and the control socket at which <c>dataplane postcopy</c> reaches it.</summary>
    /// <param name="source">The migration.</param>
    /// <param name="path">The path of the saved VM.</param>
    /// <param name="destination">The address of the destination.</param>
    /// <param name="told">The path that was given for the control socket; null for the command's own path.</param>
    /// <param name="context">Gets the messages.</param>
    public static (ControlledMigration Migration, PostcopyControl? Control) Open(
        MigrationSource source, string path, ChannelAddress destination, string? told, CommandContext context)
    {
        string? where = null;
        var migration = new ControlledMigration("send", path, destination)
        {
            GiveUpLink = source.Pause,
            GoOn = source.ResumeAsync,
            OnPaused = (reason, isAttempt) => context.Warn(
                $"{(isAttempt ? "the new link failed, still paused" : "the link is lost, paused")}: {reason}; "
                + $"'dataplane postcopy resume{where}' goes on, Ctrl-C gives the guest up"),
            OnResumed = () => context.Note("pages flow again"),
        };
        var control = PostcopyControl.Open(told, migration, context);
        where = control is null ? "" : $" --control {control.Path}";
        return (migration, control);
    }
}
