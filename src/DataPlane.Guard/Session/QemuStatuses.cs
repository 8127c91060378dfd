using DataPlane.Guard.Qmp;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>What QEMU's monitor says of its migration. Without a monitor it says nothing. Any thread may ask.</summary>
internal sealed class QemuStatuses(SessionEvents events, string name, ILogger logger)
{
    /// <summary>
    /// The number of <c>MIGRATION</c> events at which the migration is given up. A migration has a dozen, and each recovery four more.
    /// Thousands come only from a QEMU that its guest has taken over, and each costs a line of the log, and memory until it is handled.
    /// </summary>
    public const int MaxStatuses = 10_000;

    public const string Paused = "postcopy-paused";

    /// <summary>The longest status in characters that is taken. The longest of QEMU's own has 21.</summary>
    private const int MaxStatusLength = 64;

    private int _said; // the monitor's reader alone uses it
    private volatile string? _latest;
    private volatile TaskCompletionSource _paused = NewSignal();

    /// <summary>The latest status; null before the first.</summary>
    public string? Latest => _latest;

    /// <summary>Whether QEMU says that it is in postcopy, running or paused.</summary>
    public bool IsInPostcopy => _latest is { } status && status.StartsWith("postcopy-", StringComparison.Ordinal);

    /// <summary>A task that completes when QEMU has noticed that its present link is lost.</summary>
    public Task HasPaused => _paused.Task;

    /// <summary>
    /// Takes a status. It is called on the monitor's reader: a recovery waits for a status, which must not wait for the recovery.
    /// </summary>
    public void Report(string status)
    {
        if (++_said == MaxStatuses)
        {
            events.Post(new GuardEvent.Broken(new QmpException($"QEMU has said {MaxStatuses} times where the migration stands")));
        }

        if (_said >= MaxStatuses || status.Length > MaxStatusLength)
        {
            return;
        }

        GuardLog.QemuStatus(logger, name, status);
        _latest = status;
        if (status == Paused)
        {
            _paused.TrySetResult();
        }

        events.Post(new GuardEvent.Status(status));
    }

    /// <summary>Notes that QEMU is given a new link: what it has said of a pause was about the one before.</summary>
    public void BeginLink() => _paused = NewSignal();

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
