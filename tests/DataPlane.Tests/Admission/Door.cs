using System.Collections.Concurrent;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>An admission on loopback with a clock of its own, the peers that knock, and what became of them.</summary>
internal sealed class Door : IAsyncDisposable
{
    private readonly List<ScriptedPeer> _peers = [];
    private readonly List<AdmittedChannel> _admitted = [];

    private Door(ChannelAdmission admission, FakeTimeProvider time)
    {
        Admission = admission;
        Time = time;
        admission.Refusal += (_, e) => Refusals.Enqueue((e.Reason, e.Peer));
    }

    internal ChannelAdmission Admission { get; }

    internal FakeTimeProvider Time { get; }

    internal ConcurrentQueue<(RefusalReason Reason, string Peer)> Refusals { get; } = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    internal static Door Open(AdmissionOptions options, ILogger? logger = null, params ChannelAddress[] addresses) =>
        Open(options, null, logger, addresses);

    internal static Door Open(
        AdmissionOptions options, IAdmissionHost? host, ILogger? logger = null, params ChannelAddress[] addresses)
    {
        FakeTimeProvider time = new();
        if (addresses.Length == 0)
        {
            addresses = [ChannelAddress.Parse("127.0.0.1:0")];
        }

        return new Door(
            ChannelAdmission.Listen(addresses, options, new ChannelOptions(), time, logger ?? NullLogger.Instance, host), time);
    }

    internal static AdmissionOptions Expect(int channels) => new() { MultifdChannels = channels, Uuid = Opening.Uuid };

    internal ScriptedPeer Knock(params ReadOnlySpan<byte> bytes) => KnockFrom("127.0.0.1", bytes);

    internal ScriptedPeer KnockFrom(string from, params ReadOnlySpan<byte> bytes)
    {
        var peer = ScriptedPeer.Connect(Admission.LocalAddresses[0], System.Net.IPAddress.Parse(from));
        lock (_peers)
        {
            _peers.Add(peer);
        }

        return peer.Send(bytes);
    }

    internal ScriptedPeer Add(ScriptedPeer peer)
    {
        _peers.Add(peer);
        return peer;
    }

    /// <summary>
    /// Keeps the admission thread busy, in a handler of one refusal, until the result is disposed. Below the limits only: who is evicted
    /// before he has spoken cannot speak any more.
    /// </summary>
    internal IDisposable Hold()
    {
        var held = new Held(this);
        Admission.Refusal += held.OnRefusal;
        Knock(Opening.Http);
        held.Entered.Wait(Token);
        return held;
    }

    /// <summary>The next channel; the door closes it at the end.</summary>
    internal async Task<AdmittedChannel> TakeAsync()
    {
        var admitted = await Admission.AcceptAsync(Token).AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token);
        _admitted.Add(admitted);
        return admitted;
    }

    internal async Task<List<AdmittedChannel>> TakeAsync(int count)
    {
        List<AdmittedChannel> taken = [];
        while (taken.Count < count)
        {
            taken.Add(await TakeAsync());
        }

        return taken;
    }

    internal Task UndecidedAsync(int count) => Eventually.TrueAsync(() => Admission.Undecided == count, $"{count} undecided", Token);

    /// <summary>Waits until so many bytes of a connection have been taken.</summary>
    internal Task BytesAsync(ScriptedPeer peer, int count) => Eventually.TrueAsync(
        () => Admission.Snapshot().Any(u => u.Peer == peer.Socket.LocalEndPoint!.ToString() && u.Bytes == count), $"{count} bytes", Token);

    internal Task HeldAsync(int count) => StateAsync(UndecidedState.Held, count);

    internal Task StateAsync(UndecidedState state, int count) =>
        Eventually.TrueAsync(() => Admission.Snapshot().Count(u => u.State == state) == count, $"{count} {state}", Token);

    internal Task RefusedAsync(RefusalReason reason, int count) =>
        Eventually.TrueAsync(() => Admission.Refused[reason] == count && Refusals.Count(r => r.Reason == reason) == count,
            $"{count} refused as {reason}", Token);

    public async ValueTask DisposeAsync()
    {
        await Admission.DisposeAsync();
        foreach (var admitted in _admitted)
        {
            try
            {
                admitted.Channel.Abort();
                await admitted.Channel.DisposeAsync();
            }
            catch (InvalidOperationException)
            {
                // The test took the socket.
            }
        }

        _peers.ForEach(p => p.Dispose());
    }

    private sealed class Held(Door door) : IDisposable
    {
        private readonly ManualResetEventSlim _release = new();

        internal ManualResetEventSlim Entered { get; } = new();

        internal void OnRefusal(object? sender, RefusalEventArgs e)
        {
            Entered.Set();
            _release.Wait();
        }

        public void Dispose()
        {
            door.Admission.Refusal -= OnRefusal;
            _release.Set();
        }
    }
}
