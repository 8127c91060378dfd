using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Session;

/// <summary>
/// The channels of one attempt to migrate, which wait until all of them are there. A set that does not become complete holds its places for
/// the channels that are missing, but not for ever: a stranger could block them with a single channel. Only the session's loop uses it.
/// </summary>
/// <param name="expected">The number of channels of a complete set.</param>
/// <param name="patience">The longest wait for the next channel of a set.</param>
/// <param name="time">The clock of that wait.</param>
internal sealed class HeldSet(int expected, TimeSpan patience, TimeProvider time)
{
    private readonly Dictionary<ForwardingStep, HeldChannel> _held = [];
    private long _lastCame;

    /// <summary>The number of the set: one more with each first channel.</summary>
    public int Number { get; private set; }

    public int Count => _held.Count;

    public int Expected => expected;

    public bool IsComplete => _held.Count == expected;

    public IEnumerable<ChannelRelay> Relays => _held.Values.Select(static held => held.Relay);

    public HeldChannel Main => this[new ForwardingStep(ChannelKind.Main, 0)];

    public HeldChannel this[ForwardingStep step] => _held[step];

    /// <summary>Adds a channel, which gives the others more time: the next one may be in its handshake.</summary>
    /// <returns>Whether it is the first of its set.</returns>
    public bool Add(ChannelRelay relay, ReadOnlyMemory<byte> opening)
    {
        _held.Add(StepOf(relay), new HeldChannel(relay, opening));
        _lastCame = time.GetTimestamp();
        if (_held.Count > 1)
        {
            return false;
        }

        Number++;
        return true;
    }

    public bool Has(ChannelRelay relay) => _held.TryGetValue(StepOf(relay), out var held) && held.Relay == relay;

    /// <summary>
    /// Returns how long this set may still wait for its next channel, which is nothing when its time is up; null when it waits no more.
    /// </summary>
    public TimeSpan? TimeLeft(int number)
    {
        if (number != Number || _held.Count == 0)
        {
            return null;
        }

        var left = patience - time.GetElapsedTime(_lastCame);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    public void Clear() => _held.Clear();

    private static ForwardingStep StepOf(ChannelRelay relay) => new(relay.Kind, relay.Id);

    /// <summary>A channel that waits for the others of its set.</summary>
    /// <param name="Relay">The channel.</param>
    /// <param name="Opening">The bytes that were read from its client.</param>
    public sealed record HeldChannel(ChannelRelay Relay, ReadOnlyMemory<byte> Opening);
}
