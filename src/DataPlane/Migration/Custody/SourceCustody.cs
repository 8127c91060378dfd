namespace DataPlane.Migration.Custody;

/// <summary>
/// Who has the guest, as its source sees it. Only this class lets a source stop the guest or let it run again (specification, 4-postcopy
/// sections 4.8.4 and 4.8.5).
/// <code>
///                     Here           Committing     Unconfirmed          Unconfirmed           There
///                                                   by the last byte     by the package
/// CalledOff           run here       go on          go on                go on                 go on
/// LastByteBegins      Committing     -              -                    -                     -
/// LastByteSent        -              Unconfirmed    -                    -                     -
/// PackageBegins       Unconfirmed    -              -                    -                     -
/// DevicesLoaded       go on          -              -                    There                 go on
/// EverythingSent      -              -              -                    go on                 go on
/// BitmapReceived      -              -              -                    There                 go on
/// Failed              run here       run here       stay stopped         pause                 pause
/// ShutWithSuccess     -              -              There, completed     (everything was sent) There, completed; else stay stopped
/// ShutWithFailure     -              -              run here             stay stopped          stay stopped
/// </code>
/// A destination cannot finish a precopy without the last byte, and the kernel either takes that one byte or does not. Therefore every
/// failure up to <see cref="SourceEvent.LastByteSent"/> gives the guest back. After a package no failure does, because the destination may
/// run the guest. A QEMU source starts its guest again on SHUT 1, or on a connection that ends without SHUT, beside the guest that runs at
/// the destination; this source never does.
/// </summary>
/// <remarks>
/// Events may come from any thread. The first verdict that ends the migration stands, and every later event gets the same verdict. No
/// caller reaches a cell with a dash; such an event throws <see cref="InvalidOperationException"/>.
/// </remarks>
/// <param name="guest">The guest that is stopped and resumed.</param>
/// <param name="time">The clock that measures how long the guest has stood still.</param>
internal sealed class SourceCustody(IMigratableGuest guest, TimeProvider time)
{
    private readonly Lock _gate = new(); // guards every field below except _stoppedAt
    private State _state = State.Here;
    private SourceVerdict? _end;
    private bool _everythingSent;
    private long? _stoppedAt; // set before the guest is stopped; used by the session's own thread of control alone

    private enum State
    {
        Here,
        Committing,
        UnconfirmedByLastByte,
        UnconfirmedByPackage,
        There,
    }

    public GuestOwner Owner
    {
        get
        {
            lock (_gate)
            {
                return _state switch
                {
                    State.Here or State.Committing => GuestOwner.Source,
                    State.There => GuestOwner.Destination,
                    _ => GuestOwner.Unknown,
                };
            }
        }
    }

    /// <summary>Whether the guest has begun to leave, so that it is too late to call the migration off.</summary>
    public bool IsLeaving
    {
        get
        {
            lock (_gate)
            {
                return _state != State.Here;
            }
        }
    }

    /// <summary>Takes <paramref name="what"/> into account and returns what follows from it.</summary>
    public SourceVerdict On(SourceEvent what)
    {
        lock (_gate)
        {
            if (_end is { } ended)
            {
                return ended;
            }

            var verdict = _state switch
            {
                State.Here => WhileHere(what),
                State.Committing => WhileCommitting(what),
                State.UnconfirmedByLastByte => AfterLastByte(what),
                _ => AfterPackage(what),
            };
            if (verdict is not (SourceVerdict.GoOn or SourceVerdict.Pause))
            {
                _end = verdict;
            }

            return verdict;
        }
    }

    /// <summary>Stops the guest if it runs. To be called once.</summary>
    /// <returns>Whether the guest ran, so that it may have written to its memory until now.</returns>
    public async Task<bool> StopAsync(CancellationToken cancellationToken)
    {
        if (!guest.IsRunning)
        {
            return false;
        }

        _stoppedAt = time.GetTimestamp();
        await guest.PauseAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>
    /// How long the guest had stood still at the timestamp <paramref name="end"/>; zero if it was not stopped for the migration.
    /// </summary>
    public TimeSpan StoodStillUntil(long end) => _stoppedAt is { } stopped ? time.GetElapsedTime(stopped, end) : TimeSpan.Zero;

    /// <summary>
    /// Takes <see cref="SourceEvent.Failed"/> into account, and resumes a guest that is the source's and was stopped for the migration.
    /// </summary>
    public async Task EndAsync()
    {
        if (On(SourceEvent.Failed) == SourceVerdict.RunHere && _stoppedAt is not null)
        {
            await guest.ResumeAsync().ConfigureAwait(false);
        }
    }

    private SourceVerdict WhileHere(SourceEvent what)
    {
        switch (what)
        {
            case SourceEvent.CalledOff or SourceEvent.Failed:
                return SourceVerdict.RunHere;
            case SourceEvent.LastByteBegins:
                return Enter(State.Committing);
            case SourceEvent.PackageBegins:
                return Enter(State.UnconfirmedByPackage);
            case SourceEvent.DevicesLoaded:
                return SourceVerdict.GoOn; // proves nothing: without the package the destination has no guest
            default:
                throw Unreachable(what);
        }
    }

    private SourceVerdict WhileCommitting(SourceEvent what)
    {
        switch (what)
        {
            case SourceEvent.CalledOff:
                return SourceVerdict.GoOn;
            case SourceEvent.LastByteSent:
                return Enter(State.UnconfirmedByLastByte);
            case SourceEvent.Failed:
                _state = State.Here;
                return SourceVerdict.RunHere;
            default:
                throw Unreachable(what);
        }
    }

    private SourceVerdict AfterLastByte(SourceEvent what)
    {
        switch (what)
        {
            case SourceEvent.CalledOff:
                return SourceVerdict.GoOn;
            case SourceEvent.Failed:
                return SourceVerdict.StayStopped;
            case SourceEvent.ShutWithSuccess:
                _state = State.There;
                return SourceVerdict.Completed;
            case SourceEvent.ShutWithFailure:
                _state = State.Here;
                return SourceVerdict.RunHere;
            default:
                throw Unreachable(what);
        }
    }

    private SourceVerdict AfterPackage(SourceEvent what)
    {
        switch (what)
        {
            case SourceEvent.CalledOff:
                return SourceVerdict.GoOn;
            case SourceEvent.Failed:
                return SourceVerdict.Pause;
            case SourceEvent.DevicesLoaded:
                return Enter(State.There);
            case SourceEvent.BitmapReceived:
                _everythingSent = false; // what was lost on the way is sent again
                return Enter(State.There);
            case SourceEvent.EverythingSent:
                _everythingSent = true;
                return SourceVerdict.GoOn;
            case SourceEvent.ShutWithSuccess when _everythingSent:
                _state = State.There;
                return SourceVerdict.Completed;
            case SourceEvent.ShutWithSuccess or SourceEvent.ShutWithFailure:
                return SourceVerdict.StayStopped;
            default:
                throw Unreachable(what);
        }
    }

    private SourceVerdict Enter(State state)
    {
        _state = state;
        return SourceVerdict.GoOn;
    }

    private InvalidOperationException Unreachable(SourceEvent what) => new($"{what} while the guest is {_state}");
}
