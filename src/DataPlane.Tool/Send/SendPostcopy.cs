using DataPlane.Migration;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Tool.Send;

/// <summary>What a <c>send --postcopy</c> has beside the migration: its control socket, and words about pauses.</summary>
internal static class SendPostcopy
{
    /// <summary>Follows the migration and lets <c>dataplane postcopy</c> at it.</summary>
    /// <param name="source">The migration.</param>
    /// <param name="path">The saved VM.</param>
    /// <param name="destination">Where it goes.</param>
    /// <param name="told">Where the control socket shall be, if that was said.</param>
    /// <param name="context">Takes the words.</param>
    public static (PostcopyDesk Desk, PostcopyControl? Control) Open(
        MigrationSource source, string path, ChannelAddress destination, string? told, CommandContext context)
    {
        string? where = null;
        var desk = new PostcopyDesk("send", path, destination)
        {
            GiveUpLink = source.Pause,
            GoOn = source.Resume,
            OnPaused = (reason, isAttempt) => context.Warn(
                $"{(isAttempt ? "the new link failed, still paused" : "the link is lost, paused")}: {reason}; "
                + $"'dataplane postcopy resume{where}' goes on, Ctrl-C gives the guest up"),
            OnResumed = () => context.Note("pages flow again"),
        };
        var control = PostcopyControl.Open(told, desk, context);
        where = control is null ? "" : $" --control {control.Path}";
        return (desk, control);
    }
}
