using System.Text.Json;
using DataPlane.Guard;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Guard;

/// <summary>The library's guard of one VM, its options taken from and its snapshots turned into the command's own forms.</summary>
internal sealed class GuardedVmAdapter(VmSettings settings, TimeProvider time, ILogger logger) : IGuardedVm
{
    private readonly GuardedVm _vm = new(Translate(settings), time, logger);

    public Task StartAsync(CancellationToken cancellation) => _vm.StartAsync(cancellation);

    public Task RunAsync(CancellationToken cancellation) => _vm.RunAsync(cancellation);

    public VmStatus Status()
    {
        GuardSnapshot snapshot = _vm.Snapshot();
        return new VmStatus
        {
            Name = snapshot.Name,
            QemuVersion = snapshot.QemuVersion,
            Listen = snapshot.Listen is [var first, ..] ? first.ToString() : settings.Listen.ToString(),
            State = Spell(snapshot.State),
            Channels = [.. snapshot.Channels.Select(Translate)],
            Undecided = snapshot.Undecided,
            Candidates = snapshot.Candidates,
            Refused = snapshot.Refused.Where(static entry => entry.Value > 0).ToDictionary(static entry => Spell(entry.Key), static entry => entry.Value),
            Error = snapshot.Failure,
        };
    }

    private static ChannelStatus Translate(GuardChannel channel) => new()
    {
        Kind = Spell(channel.Kind),
        Id = channel.Id,
        Peer = channel.Peer,
        State = Spell(channel.State),
        InBytes = channel.BytesIn,
        OutBytes = channel.BytesOut,
        BytesPerSecond = channel.BytesPerSecond,
    };

    private static GuardedVmOptions Translate(VmSettings settings) => new()
    {
        Name = settings.Name,
        Listen = [settings.Listen],
        Qmp = settings.Qmp,
        Incoming = settings.Incoming,
        To = settings.To,
        Channels = settings.Channels,
        Preempt = settings.Preempt,
        Uuid = settings.Uuid,
        Allow = settings.Allow,
        AnyPeer = settings.AnyPeer,
        UndecidedTimeout = settings.UndecidedTimeout,
        MaxUndecided = settings.MaxUndecided,
        MaxUndecidedPerPeer = settings.MaxUndecidedPerPeer,
    };

    private static string Spell<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    public ValueTask DisposeAsync() => _vm.DisposeAsync();
}
