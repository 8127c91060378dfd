using DataPlane.Migration.Custody;
using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>
/// The part of a migration before the guest's memory is created. Nothing has been created or reserved for the source until then, so with
/// <see cref="MigrationDestinationOptions.KeepsWaiting"/> a failure here is no more than a connection that should not have come.
/// </summary>
internal sealed class DestinationSetup : IDisposable
{
    private readonly MigrationDestinationOptions _options;
    private readonly ChannelAdmission _admission;
    private readonly DestinationAdmissionHost _host;
    private readonly DestinationChannels _channels;
    private readonly SourceIdentity _identity;
    private readonly DestinationCustody _custody;
    private readonly FirstCause _failure;
    private readonly SetupDeadline? _deadline;
    private volatile bool _hasExpired; // is set by the timer of the deadline

    public DestinationSetup(
        MigrationDestinationOptions options,
        ChannelAdmission admission,
        DestinationAdmissionHost host,
        DestinationChannels channels,
        SourceIdentity identity,
        DestinationCustody custody,
        FirstCause failure,
        TimeProvider time)
    {
        _options = options;
        _admission = admission;
        _host = host;
        _channels = channels;
        _identity = identity;
        _custody = custody;
        _failure = failure;
        _deadline = options.KeepsWaiting ? new SetupDeadline(options.UndecidedTimeout, OnExpired, time) : null;
    }

    /// <summary>Begins the time limit anew, because a channel has come. Thread-safe.</summary>
    public void NoteChannel() => _deadline?.Rearm();

    /// <summary>
    /// Ends the setup when the source has announced its memory and gone on from there: waits for the channels that are still missing. The
    /// memory is created next, and from then on a failure is that of a migration.
    /// </summary>
    public async Task EndAsync(CancellationToken cancellationToken)
    {
        _deadline?.Rearm();
        await _channels.AllThere.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (_deadline is { } deadline && !deadline.TryPass())
        {
            throw new OperationCanceledException(); // the cause is recorded
        }

        _host.MainIsSettled = true;
        _admission.Recheck();
    }

    /// <summary>
    /// Whether a failure is a false start. It is none if the source asks for what is not supported here, exceeds the limits or sends
    /// another VM: the source and the caller should hear of that. <see cref="MigrationDestinationOptions.StallTimeout"/> limits the whole
    /// call, so it does not make a false start either.
    /// </summary>
    public bool IsFalseStart(FailureReason reason) =>
        _options.KeepsWaiting && !_custody.IsCreated && !_identity.IsOfAnotherVm && _channels.All().Length > 0
        && (_hasExpired || reason != FailureReason.Stalled)
        && reason is FailureReason.PeerClosed or FailureReason.PeerReset or FailureReason.Stalled or FailureReason.MalformedStream
            or FailureReason.ProtocolViolation or FailureReason.TlsFailed;

    public void Dispose() => _deadline?.Dispose();

    private void OnExpired()
    {
        var limit = $"{_options.UndecidedTimeout.TotalSeconds:0.###} s";
        var missing = _channels.Missing();
        _hasExpired = true;
        _failure.Record(missing.Count == 0
            ? new ChannelException(FailureReason.Stalled, ChannelId.Main, $"the source did not go on within {limit}")
            : new ChannelException(FailureReason.Stalled, missing[0], $"missing after {limit}: {string.Join(", ", missing)}"));
    }
}
