using DataPlane.Memory;

namespace DataPlane.Migration.Custody;

/// <summary>
/// Who has the guest, seen from its destination, and the only place in which a destination starts it or abandons it (specification,
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
/// While the host commits, the source stands still and has the guest until it hears SHUT 0; a host that fails to commit gives it back. Once
/// the answer to the PINGs of a package may have left, nobody here can know whether the source has given the guest up: then, and when SHUT 0
/// could not be sent, nothing is started and the owner is unknown. A source of ours counts a guest that is fetched for a file as given away as
/// soon as it has heard that its devices were loaded: when the fetch fails, that guest runs nowhere, and the owner is unknown, too.
/// </summary>
/// <remarks>
/// Events may come from any thread. The first verdict that ends the migration stands: whatever follows gets the same one. A cell with a dash
/// is one that no caller reaches; it throws <see cref="InvalidOperationException"/>.
/// </remarks>
/// <param name="guest">The guest's host.</param>
internal sealed class DestinationCustody(IIncomingGuest guest)
{
    private readonly Lock _gate = new(); // guards the state and the end
    private State _state = State.Theirs;
    private DestinationVerdict? _end;
    private bool _hasCommitBegun;
    private bool _isPromised; // the source counts it as given away
    private bool _isUnproved; // the link was lost while the source was being told
    private bool _isCreated; // the calls of the host come one at a time, from the session's own thread of control

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

    /// <summary>The guest goes on at its source, whatever arrives here: a background snapshot.</summary>
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

    /// <summary>Whether nothing has been decided: a failure is the source's gain, and so is cancelling.</summary>
    public bool IsTheirs => Is(State.Theirs, State.Fetching);

    /// <summary>
    /// Whether the guest was made ready to run here: it is here, or its host has begun to make it its own, even if that failed. One that runs
    /// here before its memory is there, and whose source was gone before it could be told, was not.
    /// </summary>
    public bool MayRunHere => IsOurs || Volatile.Read(ref _hasCommitBegun);

    /// <summary>Whether the guest is here whatever fails.</summary>
    public bool IsOurs => Is(State.Ours, State.OursUnproved);

    /// <summary>Whether memory has been made for the guest.</summary>
    public bool IsCreated => _isCreated;

    /// <summary>Takes <paramref name="what"/> into account and says what follows from it.</summary>
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

    /// <summary>The host makes the guest's memory.</summary>
    public async Task<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        _isCreated = true;
        return await guest.CreateMemoryAsync(machine, blocks, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Starts a guest that is ours.</summary>
    public async Task StartAsync()
    {
        if (!IsOurs)
        {
            throw new InvalidOperationException("the guest is its source's, or may be");
        }

        await guest.StartAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>
    /// After <see cref="DestinationEvent.Failed"/>: unless the guest is ours the host lets go of what it has made.
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
