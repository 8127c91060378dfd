using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// Connects a migration with the host's calls about its link: the host resumes a migration that has lost it, or breaks it. Thread-safe.
/// </summary>
internal sealed class LinkRequests
{
    private readonly Lock _gate = new();
    private TaskCompletionSource<ChannelAddress>? _waiting;
    private Action? _breakLink;
    private Func<bool>? _mayBreak;

    /// <summary>Sets how the host can break the link in use, and a condition under which it may; null if there is no link.</summary>
    public void Use(Action? breakLink, Func<bool>? mayBreak = null)
    {
        lock (_gate)
        {
            (_breakLink, _mayBreak) = (breakLink, mayBreak);
        }
    }

    /// <summary>Breaks the link. Returns false if there is none that may be broken.</summary>
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

    /// <summary>Waits for the next address to which the host resumes the migration.</summary>
    public Task<ChannelAddress> WaitAsync()
    {
        lock (_gate)
        {
            _waiting = new TaskCompletionSource<ChannelAddress>(TaskCreationOptions.RunContinuationsAsynchronously);
            return _waiting.Task;
        }
    }

    /// <summary>Gives <paramref name="address"/> to the migration that waits for it. Returns false if none waits.</summary>
    public bool TryResume(ChannelAddress address)
    {
        lock (_gate)
        {
            var waiting = _waiting;
            _waiting = null;
            return waiting is not null && waiting.TrySetResult(address);
        }
    }

    /// <summary>Ends the wait for an address without one.</summary>
    public void Leave()
    {
        lock (_gate)
        {
            _waiting = null;
        }
    }
}
