namespace DataPlane.Postcopy;

/// <summary>Whose the guest is, as far as its source can know.</summary>
internal enum GuestOwner
{
    /// <summary>It is here, and runs on here whatever fails.</summary>
    Source,

    /// <summary>The package is on its way or there: the destination may run it, or may not.</summary>
    Unconfirmed,

    /// <summary>The destination has loaded its devices, or runs it.</summary>
    Destination,
}

/// <summary>What a source in postcopy learns or does.</summary>
internal enum OwnershipEvent
{
    /// <summary>The first byte of PACKAGED is about to be sent.</summary>
    PackageBegins,

    /// <summary>PONG(0x42) has come.</summary>
    DevicesLoaded,

    /// <summary>The end of the stream has been sent: every page has left.</summary>
    EverythingSent,

    /// <summary>After a lost link the destination has told which pages it holds: it runs the guest.</summary>
    BitmapReceived,

    /// <summary>The host wants the guest back.</summary>
    Cancelled,

    /// <summary>A connection failed or ended without the destination's word.</summary>
    LinkLost,

    /// <summary>SHUT(0).</summary>
    ShutWithSuccess,

    /// <summary>SHUT with any other value.</summary>
    ShutWithFailure,
}

/// <summary>What the source does about it.</summary>
internal enum OwnershipVerdict
{
    GoOn,

    /// <summary>The migration is over, the guest runs on here.</summary>
    RunHere,

    /// <summary>The guest stays stopped here, its pages are kept, and the migration can be resumed over a new link.</summary>
    Pause,

    /// <summary>The migration is over and went well.</summary>
    Completed,

    /// <summary>The migration is over without success, and the guest stays stopped here: it is, or may be, the destination's.</summary>
    StayStopped,
}

/// <summary>
/// Who may run the guest, seen from the source (specification, 4-postcopy sections 4.8.4 and 4.8.5). A QEMU source starts the guest again
/// on a bad last
/// word or a connection that ends without one, beside the one that runs at the destination; this one never starts it once the package has
/// begun.
/// <code>
///                     Source        Unconfirmed                    Destination
/// PackageBegins       Unconfirmed   -                              -
/// DevicesLoaded       -             Destination                    -
/// BitmapReceived      -             Destination                    -
/// EverythingSent      -             -                              -
/// Cancelled           run here      no effect                      no effect
/// LinkLost            run here      pause                          pause
/// ShutWithSuccess     run here      completed; before the end of the stream: stay stopped (both)
/// ShutWithFailure     run here      stay stopped                   stay stopped
/// </code>
/// </summary>
/// <remarks>Thread-safe. Whatever comes first ends it: after a verdict that does, all that follows gets the same one.</remarks>
internal sealed class GuestOwnership
{
    private readonly Lock _gate = new();
    private GuestOwner _owner = GuestOwner.Source;
    private OwnershipVerdict? _end;
    private bool _everythingSent;

    public GuestOwner Owner
    {
        get
        {
            lock (_gate)
            {
                return _owner;
            }
        }
    }

    /// <summary>Takes <paramref name="what"/> into account and says what follows from it.</summary>
    public OwnershipVerdict On(OwnershipEvent what)
    {
        lock (_gate)
        {
            if (_end is { } ended)
            {
                return ended;
            }

            var verdict = _owner == GuestOwner.Source ? WhileHere(what) : OnceHandedOver(what);
            if (verdict is not (OwnershipVerdict.GoOn or OwnershipVerdict.Pause))
            {
                _end = verdict;
            }

            return verdict;
        }
    }

    private OwnershipVerdict WhileHere(OwnershipEvent what)
    {
        switch (what)
        {
            case OwnershipEvent.PackageBegins:
                _owner = GuestOwner.Unconfirmed;
                return OwnershipVerdict.GoOn;
            case OwnershipEvent.Cancelled:
            case OwnershipEvent.LinkLost:
            case OwnershipEvent.ShutWithSuccess:
            case OwnershipEvent.ShutWithFailure:
                return OwnershipVerdict.RunHere;
            default:
                // Nobody asked for it, and it proves nothing: without the package there is no guest that could run there.
                return OwnershipVerdict.GoOn;
        }
    }

    private OwnershipVerdict OnceHandedOver(OwnershipEvent what)
    {
        switch (what)
        {
            case OwnershipEvent.LinkLost:
                return OwnershipVerdict.Pause;
            case OwnershipEvent.DevicesLoaded:
                _owner = GuestOwner.Destination;
                return OwnershipVerdict.GoOn;
            case OwnershipEvent.BitmapReceived:
                _owner = GuestOwner.Destination;
                _everythingSent = false; // what was lost on the way is sent again
                return OwnershipVerdict.GoOn;
            case OwnershipEvent.EverythingSent:
                _everythingSent = true;
                return OwnershipVerdict.GoOn;
            case OwnershipEvent.ShutWithSuccess when _everythingSent:
                _owner = GuestOwner.Destination;
                return OwnershipVerdict.Completed;
            case OwnershipEvent.ShutWithSuccess:
            case OwnershipEvent.ShutWithFailure:
                return OwnershipVerdict.StayStopped;
            default:
                return OwnershipVerdict.GoOn;
        }
    }
}
