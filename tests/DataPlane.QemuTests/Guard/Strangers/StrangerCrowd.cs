using System.Net;

namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>Many strangers at one port, gone with the test.</summary>
internal sealed class StrangerCrowd(int port, StrangerTarget target) : IAsyncDisposable
{
    private readonly List<Stranger> _strangers = [];

    /// <summary>The source's own address: the hardest to tell from the source.</summary>
    private static IPAddress Source => IPAddress.Loopback;

    private static IPAddress Elsewhere { get; } = IPAddress.Parse("127.0.0.66");

    /// <summary>Those whose bytes leave no doubt and that are still let in after <paramref name="within"/>.</summary>
    public async Task<IReadOnlyList<string>> StillInAsync(TimeSpan within) =>
    [
        .. (await Task.WhenAll(_strangers.Where(stranger => stranger.Kind is { IsProvenFalse: true, Ending: StrangerEnding.Stays })
            .Select(async stranger => (stranger.Kind.Name, Refused: await stranger.IsRefusedAsync(within)))))
            .Where(stranger => !stranger.Refused).Select(stranger => stranger.Name),
    ];

    /// <summary>One of each kind (or as many as it needs) from the source's address, and one from another.</summary>
    public async Task ComeAsync(IEnumerable<StrangerKind> kinds, CancellationToken token)
    {
        foreach (var kind in kinds)
        {
            for (var i = 0; i < kind.Count; i++)
            {
                _strangers.Add(await Stranger.ConnectAsync(kind, port, target, Source, token));
            }

            _strangers.Add(await Stranger.ConnectAsync(kind, port, target, Elsewhere, token));
        }
    }

    /// <summary>So many silent ones, from as many addresses as are given.</summary>
    public async Task ComeSilentlyAsync(int count, int addresses, CancellationToken token)
    {
        for (var i = 0; i < count; i++)
        {
            var from = new IPAddress([127, 0, 1, (byte)(1 + (i % addresses))]);
            _strangers.Add(await Stranger.ConnectAsync(StrangerKinds.Silent, port, target, from, token));
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var stranger in _strangers)
        {
            await stranger.DisposeAsync();
        }
    }
}
