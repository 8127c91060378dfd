using DataPlane.Admission;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// What comes before the guest's memory is created. Nothing has been made or reserved for the source until then, so with
/// <see cref="MigrationDestinationOptions.KeepsWaiting"/> what fails here is no more than a connection that should not have come.
/// </summary>
internal sealed partial class DestinationSession
{
    private readonly TaskCompletionSource _allAdmitted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SetupDeadline? _setup;
    private Task _admitting = Task.CompletedTask;
    private bool _isOfAnotherVm;
    private volatile bool _setupExpired;

    /// <summary>The set of channels that it takes: those of an earlier one are closed.</summary>
    public int Epoch { get; init; }

    /// <summary>Whether it has failed as a connection that should not have come: the destination waits for the next.</summary>
    public bool IsFalseStart => NextEpoch > Epoch;

    /// <summary>After a false start: the set of channels that has the places now.</summary>
    public int NextEpoch { get; private set; }

    /// <summary>Who made the false start.</summary>
    private string Peer => Admitted() is { Length: > 0 } admitted
        ? (admitted.FirstOrDefault(static one => one.Kind == ChannelKind.Main) ?? admitted[0]).Peer : "nobody";

    private void StartSetup()
    {
        if (_options.KeepsWaiting)
        {
            _setup = new SetupDeadline(_options.UndecidedTimeout, OnSetupExpired, _time);
        }
    }

    private void OnSetupExpired()
    {
        var limit = $"{_options.UndecidedTimeout.TotalSeconds:0.###} s";
        var missing = MissingChannels();
        _setupExpired = true;
        _failure.Record(missing.Count == 0
            ? new ChannelException(FailureReason.Stalled, "main", $"the source did not go on within {limit}")
            : new ChannelException(FailureReason.Stalled, missing[0], $"missing after {limit}: {string.Join(", ", missing)}"));
    }

    private void NoteAdmitted()
    {
        _setup?.Rearm();
        if (MissingChannels().Count == 0)
        {
            _allAdmitted.TrySetResult();
        }
    }

    /// <summary>
    /// The source has announced its memory and gone on from there. It is created once every channel is there too: from then on what fails is
    /// a migration.
    /// </summary>
    private async Task EndSetupAsync(CancellationToken cancellationToken)
    {
        _setup?.Rearm();
        await _allAdmitted.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (_setup is { } setup && !setup.TryPass())
        {
            throw new OperationCanceledException(); // the cause is recorded
        }

        _context.MainIsSettled = true;
        _admission.Recheck();
    }

    /// <summary>
    /// Gives the places up before anybody can see that they are free: a source that comes then must not be taken for part of this set.
    /// </summary>
    private async Task LeaveAsync(string why)
    {
        await _over.CancelAsync().ConfigureAwait(false);
        await _admitting.ConfigureAwait(false);
        _admission.NoteFalseStart(Peer, why);
        NextEpoch = _admission.StartAnew();
    }

    /// <summary>
    /// A source that asks for what is not supported here, is beyond the limits or sends another VM is one that should hear it, and whoever
    /// waits for it as well. <see cref="MigrationDestinationOptions.StallTimeout"/> is a limit of the whole call.
    /// </summary>
    private bool MayWaitForAnother(FailureReason reason) =>
        _options.KeepsWaiting && !_custody.IsCreated && !_isOfAnotherVm && Admitted().Length > 0
        && (_setupExpired || reason != FailureReason.Stalled)
        && reason is FailureReason.PeerClosed or FailureReason.PeerReset or FailureReason.Stalled or FailureReason.MalformedStream
            or FailureReason.ProtocolViolation or FailureReason.TlsFailed;
}
