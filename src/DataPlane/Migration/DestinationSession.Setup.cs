using DataPlane.Admission;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The part of a migration before the guest's memory is created. Nothing has been created or reserved for the source until then, so with
/// <see cref="MigrationDestinationOptions.KeepsWaiting"/> a failure here is no more than a connection that should not have come.
/// </summary>
internal sealed partial class DestinationSession
{
    private readonly TaskCompletionSource _allAdmitted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SetupDeadline? _setup;
    private Task _admitting = Task.CompletedTask;
    private bool _isOfAnotherVm;
    private volatile bool _setupExpired;

    /// <summary>
    /// The set of channels (<see cref="AdmittedChannel.Epoch"/>) that this session takes; channels of another set are closed.
    /// </summary>
    public int Epoch { get; init; }

    /// <summary>Whether the session has failed as a false start, after which the destination waits for the next migration.</summary>
    public bool IsFalseStart => NextEpoch > Epoch;

    /// <summary>The set of channels that has the places after a false start; 0 before one.</summary>
    public int NextEpoch { get; private set; }

    /// <summary>The address of the peer that made the false start.</summary>
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
            ? new ChannelException(FailureReason.Stalled, ChannelId.Main, $"the source did not go on within {limit}")
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
    /// Ends the setup when the source has announced its memory and gone on from there: waits for the channels that are still missing. The
    /// memory is created next, and from then on a failure is that of a migration.
    /// </summary>
    private async Task EndSetupAsync(CancellationToken cancellationToken)
    {
        _setup?.Rearm();
        await _allAdmitted.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (_setup is { } setup && !setup.TryPass())
        {
            throw new OperationCanceledException(); // the cause is recorded
        }

        _host.MainIsSettled = true;
        _admission.Recheck();
    }

    /// <summary>
    /// Gives the places of this set up. No more channels are taken before the places are seen to be free: a source that connects then must
    /// not be taken for part of this set.
    /// </summary>
    private async Task LeaveAsync(string why)
    {
        await _over.CancelAsync().ConfigureAwait(false);
        await _admitting.ConfigureAwait(false);
        _admission.NoteFalseStart(Peer, why);
        NextEpoch = _admission.StartAnew();
    }

    /// <summary>
    /// Whether a failure is a false start. It is none if the source asks for what is not supported here, exceeds the limits or sends
    /// another VM: the source and the caller should hear of that. <see cref="MigrationDestinationOptions.StallTimeout"/> limits the whole
    /// call, so it does not make a false start either.
    /// </summary>
    private bool MayWaitForAnother(FailureReason reason) =>
        _options.KeepsWaiting && !_custody.IsCreated && !_isOfAnotherVm && Admitted().Length > 0
        && (_setupExpired || reason != FailureReason.Stalled)
        && reason is FailureReason.PeerClosed or FailureReason.PeerReset or FailureReason.Stalled or FailureReason.MalformedStream
            or FailureReason.ProtocolViolation or FailureReason.TlsFailed;
}
