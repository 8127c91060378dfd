using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Tool.Postcopy;

namespace DataPlane.Tool.Receive;

/// <summary>
/// The source of a failed <c>receive --postcopy</c>, which may be without its guest. A QEMU up to 10.1 counts its guest as gone once the
/// package is in its own socket buffers. When the link is lost then, the guest stands still, and only this destination can give it back.
/// </summary>
/// <param name="destination">The destination, which has failed.</param>
/// <param name="migration">Knows how far the migration had come, and shows the wait.</param>
/// <param name="limit">How long the source may take to come again.</param>
/// <param name="context">Gets the messages.</param>
internal sealed class StrandedSource(
    MigrationDestination destination, ControlledMigration migration, TimeSpan limit, CommandContext context)
{
    /// <summary>
    /// The limit after a Ctrl-C before the switch was seen: whoever pressed it is there, and needs no more time to look at the source.
    /// </summary>
    private static readonly TimeSpan s_afterCtrlC = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Whether the source's guest may stand still. It does not when main came to an orderly end before the switch: TCP keeps the order, so
    /// all that the source had written before it closed was read, and there was no package in it.
    /// </summary>
    public bool MayExist(Exception failure) => destination.MayReturnGuest && (HasSwitched || failure is not MigrationException
    {
        Reason: FailureReason.PeerClosed,
        Channel: "main",
    });

    private bool HasSwitched => migration.Last is { Phase: >= MigrationPhase.Switchover };

    /// <summary>Waits for the source and gives its guest back. False when the source has not come within the limit.</summary>
    /// <exception cref="OperationCanceledException">
    /// Ctrl-C was pressed. Where a Ctrl-C had already ended the migration, the system takes the next one and ends the process.
    /// </exception>
    public async Task<bool> ReturnGuestAsync(Exception failure)
    {
        var isStopped = context.Stop.IsCancellationRequested;
        var address = destination.LocalAddresses[0].ToString();
        var uri = destination.LocalAddresses[0].IsUnix ? address : $"tcp:{address}";
        var mayLast = isStopped && !HasSwitched && limit > s_afterCtrlC ? s_afterCtrlC : limit;
        context.Warn($"{failure.Message}. The guest has not started here. If 'query-migrate' at its source says postcopy-paused, it stands "
            + $"still there until this command gives it back: say 'migrate -r {uri}' there, {address} waits for it. If it says anything "
            + $"else, end this with {(isStopped ? "a second " : "")}Ctrl-C");
        migration.EnterReturning();
        context.Progress.Report(new ProgressSample { Stage = "waiting for the source to take its guest back" });
        using var over = new CancellationTokenSource(mayLast, context.Time);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(over.Token, isStopped ? CancellationToken.None : context.Stop);
        try
        {
            var source = await destination.ReturnGuestAsync(new Elsewhere(context), ended.Token).ConfigureAwait(false);
            context.Note($"the source at {source} has its guest back (QEMU up to 8.1 runs it after 'cont')");
            return true;
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return false;
        }
    }

    private sealed class Elsewhere(CommandContext context) : IProgress<string>
    {
        public void Report(string value) => context.Warn(
            $"{value} was given the guest back, and the migration had come from another address: waiting on for its source. If "
            + "'query-migrate' at the source no longer says postcopy-paused, that was the source: end this with Ctrl-C");
    }
}
