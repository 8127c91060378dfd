using DataPlane.Linux;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// The listeners of an admission, in its poll set under the keys 1, 2, and so on. All of them rest for a moment when descriptors or memory
/// for more connections are short; new connections wait in the kernel meanwhile. Used by the admission thread only.
/// </summary>
internal sealed class AdmissionListeners(ChannelListener[] listeners, EpollSet epoll, AdmissionClock clock, ILogger logger) : IDisposable
{
    /// <summary>A limit for one turn, so that a flood of new connections cannot delay those that are about to be decided.</summary>
    private const int AcceptsPerTurn = 64;

    private static readonly TimeSpan s_backOff = TimeSpan.FromMilliseconds(100);

    private bool _isShort;

    /// <summary>Takes over each accepted connection.</summary>
    public required Action<AcceptedSocket> Accepted { get; init; }

    /// <summary>The time at which resting listeners are watched again; <see cref="long.MaxValue"/> while none rests.</summary>
    public long ResumeAt { get; private set; } = long.MaxValue;

    public void Watch()
    {
        for (var i = 0; i < listeners.Length; i++)
        {
            epoll.Add(listeners[i].Handle, KeyOf(i));
        }
    }

    /// <summary>Whether a key of the poll set is that of a listener.</summary>
    public bool Owns(ulong key) => key <= (ulong)listeners.Length;

    /// <summary>Accepts what waits at the listener with this key.</summary>
    public void Accept(ulong key)
    {
        if (ResumeAt != long.MaxValue)
        {
            return; // they rest since an earlier event of this turn
        }

        var listener = listeners[key - 1];
        for (var i = 0; i < AcceptsPerTurn; i++)
        {
            switch (listener.TryAccept(out var accepted, out var errno))
            {
                case AcceptOutcome.Accepted:
                    _isShort = false;
                    Accepted(accepted);
                    break;
                case AcceptOutcome.Retry:
                    AdmissionLog.LostBeforeAccept(logger, listener.LocalAddress.ToString(), Errno.Describe(errno));
                    break;
                case AcceptOutcome.BackOff:
                    Rest(listener, errno);
                    return;
                case AcceptOutcome.Empty:
                    return;
                default:
                    throw new LinuxException("accept4", errno, listener.LocalAddress.ToString());
            }
        }
    }

    /// <summary>Watches the listeners again when they have rested long enough.</summary>
    public void ResumeIfDue(long now)
    {
        if (ResumeAt > now)
        {
            return;
        }

        ResumeAt = long.MaxValue;
        for (var i = 0; i < listeners.Length; i++)
        {
            _ = epoll.TryAdd(listeners[i].Handle, KeyOf(i));
        }
    }

    public void Dispose()
    {
        foreach (var listener in listeners)
        {
            listener.Dispose();
        }
    }

    private static ulong KeyOf(int index) => (ulong)index + 1;

    /// <summary>
    /// Pauses all listeners, because descriptors or memory are short for all of them. That is logged once until a connection is accepted.
    /// </summary>
    private void Rest(ChannelListener listener, int errno)
    {
        if (!_isShort)
        {
            AdmissionLog.BackingOff(logger, listener.LocalAddress.ToString(), Errno.Describe(errno), s_backOff);
        }

        _isShort = true;
        ResumeAt = clock.After(s_backOff);
        foreach (var each in listeners)
        {
            epoll.Remove(each.Handle);
        }
    }
}
