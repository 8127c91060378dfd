namespace DataPlane.Migration;

/// <summary>The host's wish to go over to postcopy: may be uttered at any time, from any thread, once.</summary>
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

    /// <summary>Calls back once the wish is uttered; at once if it has been.</summary>
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

    /// <summary>The migration ends by precopy: a wish that comes now is too late. False when it has come.</summary>
    public bool TryClose()
    {
        lock (_gate)
        {
            _closed = !_requested;
            return _closed;
        }
    }
}
