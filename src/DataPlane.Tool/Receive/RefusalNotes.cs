using System.Collections.Concurrent;
using DataPlane.Admission;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>
/// Warns about refused connections that may be the source's own. Refusals are raised on the thread that admits channels, so another thread
/// writes the warnings. Strangers decide how many there are, so only some of each reason are written, and the others are counted.
/// </summary>
internal sealed class RefusalNotes : IDisposable
{
    private const int MaxWaiting = 256;

    // A reader of stderr that has stopped must not keep the command from ending.
    private static readonly TimeSpan s_flushTimeout = TimeSpan.FromSeconds(1);

    private readonly CommandContext _context;
    private readonly RefusalThrottle _throttle;
    private readonly BlockingCollection<string> _waiting = new(MaxWaiting);
    private readonly Lock _gate = new();
    private readonly Thread _thread;
    private bool _isOver;

    public RefusalNotes(CommandContext context)
    {
        _context = context;
        _throttle = new RefusalThrottle(context.Time);
        _thread = new Thread(Run) { Name = "dp-refusals", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Takes a refusal and returns at once. May be called from any thread.</summary>
    public void Take(RefusalEventArgs refusal)
    {
        if (Describe(refusal) is not { } what)
        {
            return;
        }

        lock (_gate)
        {
            if (_isOver)
            {
                return;
            }

            if (_throttle.TryPass(refusal.Reason, refusal.Peer))
            {
                _waiting.TryAdd($"{refusal.Peer} was refused: {what}");
            }

            SayLeftOut(all: false);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_isOver)
            {
                return;
            }

            SayLeftOut(all: true);
            _isOver = true;
            _waiting.CompleteAdding();
        }

        if (_thread.Join(s_flushTimeout))
        {
            _waiting.Dispose();
        }
    }

    /// <summary>Describes a refusal; null where the peer cannot be one that means this destination.</summary>
    private static string? Describe(RefusalEventArgs refusal) => refusal.Reason switch
    {
        RefusalReason.TlsHandshake => $"the TLS handshake failed: {refusal.Detail}",
        RefusalReason.Closed or RefusalReason.Evicted => refusal.Detail,
        RefusalReason.FalseStart => refusal.Detail is { } detail && detail.StartsWith("the stream ended inside", StringComparison.Ordinal)
            ? $"{detail}; a source that uses multifd needs --channels, as many as it has" : refusal.Detail,
        RefusalReason.NotAllowed => "its address is not in --allow",
        RefusalReason.PlainOnTls => "it does not speak TLS, which --tls-dir demands",
        RefusalReason.TlsOnPlain => "it speaks TLS, for which --tls-dir is missing",
        _ => null,
    };

    private void SayLeftOut(bool all)
    {
        foreach ((var reason, var count, var peer) in _throttle.TakeLeftOut(all))
        {
            _waiting.TryAdd($"{count} more were refused ({SavedVmReport.SnakeCase(reason.ToString())}), the last of them {peer}");
        }
    }

    private void Run()
    {
        foreach (var warning in _waiting.GetConsumingEnumerable())
        {
            _context.Warn(warning);
        }
    }
}
