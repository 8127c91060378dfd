namespace DataPlane.Migration.Custody;

/// <summary>
/// Who has the guest, as its destination sees it. Only this class lets a destination start the guest or abandon it (specification,
/// 4-postcopy section 4.8).
/// <code>
///                     Theirs       Fetching     Deciding     Deciding        Ours         Ours, unproved
///                                               by commit    by telling
/// Cancelled           let go       let go       go on        go on           go on        go on
/// FetchPromised       Fetching     -            -            -               -            -
/// CommitBegins        by commit    by commit    -            -               -            -
/// TellingBegins       by telling   -            -            -               -            -
/// SourceTold          -            -            Ours         Ours            -            -
/// SourceGone          -            -            let go       let go          -            -
/// LostBeforeProof     go on        go on        go on        then unproved   unproved     go on
/// SourceCameAgain     go on        go on        go on        go on           go on        Ours
/// Failed              let go       let go       let go       let go          keep         keep
/// </code>
/// While the host commits, the guest stands still at the source and is the source's until the source hears SHUT 0. If the host fails to
/// commit, the guest goes back to the source. Once the answers to the PINGs of a package may have left, nobody here can know whether the
/// source has given the guest up. If the migration fails then, or if SHUT 0 cannot be sent, nothing is started here and the owner is
/// unknown. A source of this library counts a guest that is fetched for a file as given away as soon as it has heard that the devices were
/// loaded. If the fetch fails after that, the guest runs nowhere, and the owner is unknown, too.
/// </summary>
/// <remarks>
/// Events may come from any thread. The first verdict that ends the migration stands, and every later event gets the same verdict. No
/// caller reaches a cell with a dash; such an event throws <see cref="InvalidOperationException"/>.
/// </remarks>
/// <param name="guest">The host's part of the migration.</param>
internal sealed class DestinationCustody(IIncomingGuest guest)
{
    private readonly Lock _gate = new(); // guards the state and the end
    private State _state = State.Theirs;
    private DestinationVerdict? _end;
    private bool _hasCommitBegun;
    private bool _isPromised; // the source counts the guest as given away
    private bool _isUnproved; // the link was lost while the source was being told
    private bool _isCreated; // without the lock: the session calls the host from one flow of control

    private enum State
    {
        Theirs,
        Fetching,
        DecidingByCommit,
        DecidingByTelling,
        Unknown,
        Ours,
        OursUnproved,
    }

    /// <summary>Whether a background snapshot arrives, so that the guest goes on at its source whatever happens here.</summary>
    public bool IsSnapshot { get; set; }

    public GuestOwner Owner
    {
        get
        {
            lock (_gate)
            {
                return _state switch
                {
                    State.Theirs => GuestOwner.Source,
                    _ when IsSnapshot => GuestOwner.Source,
                    State.Ours => GuestOwner.Destination,
                    _ => GuestOwner.Unknown,
                };
            }
        }
    }

    /// <summary>
    /// Whether this side has not begun to take the guest over. Until then a failure or a cancellation ends the migration without a guest
    /// here.
    /// </summary>
    public bool IsTheirs => Is(State.Theirs, State.Fetching);

    /// <summary>
    /// Whether the guest is here, or its host has begun to commit it, even if the commit failed. It is false for a postcopy whose source
    /// was gone before it could be told, because that guest was never started.
    /// </summary>
    public bool MayRunHere => IsOurs || Volatile.Read(ref _hasCommitBegun);

    /// <summary>Whether the guest is here and stays here, whatever fails from now on.</summary>
    public bool IsOurs => Is(State.Ours, State.OursUnproved);

    /// <summary>Whether the host has been asked to create the guest's memory.</summary>
    public bool IsCreated => _isCreated;

    /// <summary>Takes <paramref name="what"/> into account and returns what follows from it.</summary>
    public DestinationVerdict On(DestinationEvent what)
    {
        lock (_gate)
        {
            if (_end is { } ended)
            {
                return ended;
            }

            var verdict = _state switch
            {
                State.Theirs or State.Fetching => WhileTheirs(what),
                State.DecidingByCommit or State.DecidingByTelling => WhileDeciding(what),
                _ => WhileOurs(what),
            };
            if (verdict != DestinationVerdict.GoOn)
            {
                _end = verdict;
            }

            return verdict;
        }
    }

    /// <summary>Has the host create the guest's memory.</summary>
    public async Task<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        _isCreated = true;
        return await guest.CreateMemoryAsync(machine, blocks, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Has the host start the guest, which must be ours (<see cref="IsOurs"/>).</summary>
    public async Task StartAsync()
    {
        if (!IsOurs)
        {
            throw new InvalidOperationException("the guest is its source's, or may be");
        }

        await guest.StartAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>
    /// Takes <see cref="DestinationEvent.Failed"/> into account: unless the guest is ours, the host abandons what it has created.
    /// </summary>
    public async Task EndAsync(Exception cause)
    {
        if (On(DestinationEvent.Failed) == DestinationVerdict.LetGo && _isCreated)
        {
            await guest.AbandonAsync(cause).ConfigureAwait(false);
        }
    }

    private DestinationVerdict WhileTheirs(DestinationEvent what)
    {
        switch (what)
        {
            case DestinationEvent.Cancelled or DestinationEvent.Failed:
                return DestinationVerdict.LetGo;
            case DestinationEvent.FetchPromised when _state == State.Theirs:
                _isPromised = true;
                return Enter(State.Fetching);
            case DestinationEvent.CommitBegins:
                Volatile.Write(ref _hasCommitBegun, true);
                return Enter(State.DecidingByCommit);
            case DestinationEvent.TellingBegins when _state == State.Theirs:
                return Enter(State.DecidingByTelling);
            case DestinationEvent.LostBeforeProof or DestinationEvent.SourceCameAgain:
                return DestinationVerdict.GoOn;
            default:
                throw Unreachable(what);
        }
    }

    private DestinationVerdict WhileDeciding(DestinationEvent what)
    {
        switch (what)
        {
            case DestinationEvent.Cancelled:
                return DestinationVerdict.GoOn;
            case DestinationEvent.LostBeforeProof or DestinationEvent.SourceCameAgain:
                _isUnproved = _state == State.DecidingByTelling && what == DestinationEvent.LostBeforeProof;
                return DestinationVerdict.GoOn;
            case DestinationEvent.SourceTold:
                return Enter(_isUnproved ? State.OursUnproved : State.Ours);
            case DestinationEvent.SourceGone:
                _state = State.Unknown;
                return DestinationVerdict.LetGo;
            case DestinationEvent.Failed:
                _state = _state == State.DecidingByCommit && !_isPromised ? State.Theirs : State.Unknown;
                return DestinationVerdict.LetGo;
            default:
                throw Unreachable(what);
        }
    }

    private DestinationVerdict WhileOurs(DestinationEvent what)
    {
        switch (what)
        {
            case DestinationEvent.Cancelled:
                return DestinationVerdict.GoOn;
            case DestinationEvent.LostBeforeProof:
                return Enter(State.OursUnproved);
            case DestinationEvent.SourceCameAgain:
                return Enter(State.Ours);
            case DestinationEvent.Failed:
                return DestinationVerdict.Keep;
            default:
                throw Unreachable(what);
        }
    }

    private DestinationVerdict Enter(State state)
    {
        _state = state;
        return DestinationVerdict.GoOn;
    }

    private bool Is(State one, State other)
    {
        lock (_gate)
        {
            return _state == one || _state == other;
        }
    }

    private InvalidOperationException Unreachable(DestinationEvent what) => new($"{what} while the guest is {_state}");
}
