using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>Where a migration waits while its link is lost, and the host comes with an address. Thread-safe.</summary>
internal sealed class RecoveryDesk
{
    private readonly Lock _gate = new();
    private TaskCompletionSource<ChannelAddress>? _waiting;
    private Action? _breakLink;
    private Func<bool>? _mayBreak;

    /// <summary>How the host can end the link in use, and when it may; null for no link.</summary>
    public void Use(Action? breakLink, Func<bool>? mayBreak = null)
    {
        lock (_gate)
        {
            (_breakLink, _mayBreak) = (breakLink, mayBreak);
        }
    }

    /// <summary>False when there is no link that may be ended.</summary>
    public bool TryBreak()
    {
        Action? breakLink;
        lock (_gate)
        {
            if (_mayBreak?.Invoke() != true)
            {
                return false;
            }

            breakLink = _breakLink;
            _breakLink = null;
        }

        breakLink?.Invoke();
        return breakLink is not null;
    }

    /// <summary>Waits for the next address.</summary>
    public Task<ChannelAddress> WaitAsync()
    {
        lock (_gate)
        {
            _waiting = new TaskCompletionSource<ChannelAddress>(TaskCreationOptions.RunContinuationsAsynchronously);
            return _waiting.Task;
        }
    }

    /// <summary>False when nobody waits.</summary>
    public bool TryResume(ChannelAddress address)
    {
        lock (_gate)
        {
            var waiting = _waiting;
            _waiting = null;
            return waiting is not null && waiting.TrySetResult(address);
        }
    }

    /// <summary>Nobody waits any more.</summary>
    public void Leave()
    {
        lock (_gate)
        {
            _waiting = null;
        }
    }
}
