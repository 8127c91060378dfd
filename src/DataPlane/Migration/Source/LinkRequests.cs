namespace DataPlane.Migration.Source;

/// <summary>
/// Connects a migration with the host's calls about its link: the host resumes a migration that has lost it, or breaks it. Thread-safe.
/// </summary>
internal sealed class LinkRequests
{
    private readonly Lock _gate = new(); // guards every field below
    private TaskCompletionSource<ResumeRequest>? _waiting;
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

    /// <summary>Waits for the next address to which the host resumes the migration. Whoever takes the request owes it an outcome.</summary>
    public Task<ResumeRequest> WaitAsync()
    {
        lock (_gate)
        {
            _waiting = new TaskCompletionSource<ResumeRequest>(TaskCreationOptions.RunContinuationsAsynchronously);
            return _waiting.Task;
        }
    }

    /// <summary>Gives <paramref name="address"/> to the migration that waits for it. Returns null if none waits.</summary>
    public ResumeRequest? TryResume(ChannelAddress address)
    {
        lock (_gate)
        {
            if (_waiting is not { } waiting)
            {
                return null;
            }

            var request = new ResumeRequest(address);
            _waiting = null;
            waiting.SetResult(request);
            return request;
        }
    }

    /// <summary>Ends the wait for an address. Returns false if one has come at the last moment.</summary>
    public bool TryLeave()
    {
        lock (_gate)
        {
            var isWaiting = _waiting is not null;
            _waiting = null;
            return isWaiting;
        }
    }
}
