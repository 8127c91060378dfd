using System.Collections.Concurrent;
using System.Text;

namespace DataPlane.Tests.Admission;

/// <summary>A host that says what the test tells it to.</summary>
internal sealed class ScriptedHost : IAdmissionHost
{
    internal const string Block = "pc.ram";

    private volatile bool _paused;
    private volatile bool _mayBePaused;
    private volatile bool _chooses;
    private volatile bool _cannotChoose;
    private volatile bool _end;
    private volatile bool _knowsBlocks;
    private volatile bool _broken;
    private volatile bool _settled = true;
    private int _asked;

    public bool IsPaused
    {
        get => _paused;
        internal set => _paused = value;
    }

    public bool MayBePaused
    {
        get
        {
            OnMayBePaused?.Invoke();
            return _mayBePaused;
        }

        internal set => _mayBePaused = value;
    }

    public bool ChoosesRecovery
    {
        get => _cannotChoose ? throw new InvalidOperationException("a host's mistake") : _chooses;
        internal set => _chooses = value;
    }

    public bool MainIsSettled
    {
        get
        {
            OnMainIsSettled?.Invoke();
            return _settled;
        }

        internal set => _settled = value;
    }

    public bool LoneEndIsPlausible
    {
        get => _end;
        internal set => _end = value;
    }

    internal bool KnowsBlocks { set => _knowsBlocks = value; }

    internal bool IsBroken { set => _broken = value; }

    internal bool CannotChoose { set => _cannotChoose = value; }

    /// <summary>Called whenever it is asked whether it may be paused without knowing it.</summary>
    internal Action? OnMayBePaused { get; set; }

    /// <summary>Called whenever it is asked whether the main channel stays.</summary>
    internal Action? OnMainIsSettled { get; set; }

    /// <summary>Called whenever it is asked whether there is a block.</summary>
    internal Action? OnBlock { get; set; }

    /// <summary>How often it was asked about a record.</summary>
    internal int Asked => Volatile.Read(ref _asked);

    private ConcurrentDictionary<(string Block, long Offset), bool> Requests { get; } = new();

    internal ScriptedHost Request(long offset, string block = Block)
    {
        Requests[(block, offset)] = true;
        _knowsBlocks = true;
        return this;
    }

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset)
    {
        Interlocked.Increment(ref _asked);
        if (_broken)
        {
            throw new InvalidOperationException("a host's mistake");
        }

        return !_knowsBlocks ? PreemptVerdict.NotYet
            : Requests.ContainsKey((Encoding.UTF8.GetString(blockName), offset)) ? PreemptVerdict.Requested : PreemptVerdict.Refuse;
    }

    public bool MayBeBlock(ReadOnlySpan<byte> blockName)
    {
        OnBlock?.Invoke();
        return Encoding.UTF8.GetString(blockName) == Block;
    }
}
