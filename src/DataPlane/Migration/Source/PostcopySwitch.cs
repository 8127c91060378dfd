namespace DataPlane.Migration.Source;

/// <summary>The host's request to switch to postcopy, which may come once, at any time and from any thread.</summary>
internal sealed class PostcopySwitch
{
    private readonly Lock _gate = new();
    private Action? _onRequested;
    private bool _requested;
    private bool _closed;

    public bool IsRequested
    {
        get
        {
            lock (_gate)
            {
                return _requested;
            }
        }
    }

    public void Request()
    {
        Action? react;
        lock (_gate)
        {
            if (_closed)
            {
                return;
            }

            _requested = true;
            react = _onRequested;
        }

        react?.Invoke();
    }

    /// <summary>Calls <paramref name="react"/> when the switch is requested; at once if it has been requested already.</summary>
    public void WhenRequested(Action react)
    {
        bool now;
        lock (_gate)
        {
            _onRequested = react;
            now = _requested;
        }

        if (now)
        {
            react();
        }
    }

    /// <summary>
    /// Ignores later requests, because the migration ends by precopy. Returns false if the switch has been requested already.
    /// </summary>
    public bool TryClose()
    {
        lock (_gate)
        {
            _closed = !_requested;
            return _closed;
        }
    }
}
