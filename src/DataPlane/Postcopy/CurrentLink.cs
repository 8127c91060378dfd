using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Holds the one link to the source that is in use, or none, and whether the loss of a link is a pause. A recovery replaces the link as a
/// whole. Thread-safe.
/// </summary>
internal sealed class CurrentLink
{
    private readonly Lock _gate = new(); // guards all fields
    private PostcopyLink? _link;
    private bool _outlivesLinks;
    private volatile bool _hasBegun; // is read without the lock

    /// <summary>Whether there is or was a link.</summary>
    public bool HasBegun => _hasBegun;

    /// <summary>The main channel of the link; null while there is none.</summary>
    public Channel? Main
    {
        get
        {
            lock (_gate)
            {
                return _link?.Main;
            }
        }
    }

    /// <summary>
    /// Whether a lost link is a pause: the guest is ours, or all of it is being fetched for a host that does not run it.
    /// </summary>
    public bool OutlivesLinks
    {
        get
        {
            lock (_gate)
            {
                return _outlivesLinks;
            }
        }
    }

    /// <summary>Makes a lost link a pause from now on.</summary>
    public void OutliveLinks()
    {
        lock (_gate)
        {
            _outlivesLinks = true;
        }
    }

    /// <summary>
    /// Makes the link that <paramref name="create"/> returns the one in use. Who sees <see cref="HasBegun"/> and brings the preempt channel
    /// finds the first link here, because it waits for the lock.
    /// </summary>
    public PostcopyLink Begin(Func<PostcopyLink> create)
    {
        lock (_gate)
        {
            _hasBegun = true;
            _link = create();
            return _link;
        }
    }

    /// <summary>Lets go of the link, which has ended. Returns whether that is a pause.</summary>
    public bool Lose()
    {
        lock (_gate)
        {
            _link = null;
            return _outlivesLinks;
        }
    }

    /// <summary>Takes the preempt channel, which has been proven. It is aborted if there is no link.</summary>
    public void AttachPreempt(Channel preempt)
    {
        lock (_gate)
        {
            if (_link is { } link)
            {
                link.AttachPreempt(preempt);
            }
            else
            {
                preempt.Abort();
            }
        }
    }

    /// <summary>Breaks the link, if there is one.</summary>
    public void Break(Exception cause)
    {
        lock (_gate)
        {
            _link?.Break(cause);
        }
    }

    /// <summary>
    /// Breaks the link, but where a lost link is a pause only as long as the source has not sent everything: a QEMU waits for SHUT then.
    /// </summary>
    public void BreakBeforeEnd(Exception cause)
    {
        lock (_gate)
        {
            if (_outlivesLinks)
            {
                _link?.BreakBeforeEnd(cause);
            }
            else
            {
                _link?.Break(cause);
            }
        }
    }

    /// <summary>
    /// Breaks the link if that is a pause. Returns false, and does nothing, if the guest is still the source's.
    /// </summary>
    public bool TryPause(Exception cause)
    {
        lock (_gate)
        {
            if (_outlivesLinks)
            {
                _link?.Break(cause);
            }

            return _outlivesLinks;
        }
    }

    /// <summary>
    /// Checks that the peer still holds the main connection, because a connection claims that the source has given this link up.
    /// </summary>
    public void Probe(TimeSpan limit)
    {
        lock (_gate)
        {
            _link?.Main.Probe(limit);
        }
    }

    /// <summary>Completes when no thread reads the link any more.</summary>
    public async Task CloseAsync()
    {
        PostcopyLink? link;
        lock (_gate)
        {
            link = _link;
        }

        if (link is not null)
        {
            await link.DisposeAsync().ConfigureAwait(false);
        }
    }
}
