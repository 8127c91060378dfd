using System.Net.Sockets;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>What a scripted connection does when it has said everything.</summary>
internal enum Leaving
{
    Stays,
    Finishes,
    Resets,
}

/// <summary>What one connection does, step by step: connect, send each piece, leave.</summary>
internal sealed record Script(byte[] Bytes, int[] Cuts, Leaving Leaving, string From);

/// <summary>Connections that perform their scripts, each one step at a time, in random turns, while the clock goes on in leaps.</summary>
internal sealed class Crowd
{
    private readonly Door _door;
    private readonly Actor[] _honest;
    private readonly List<Actor> _left;
    private readonly long _admittedBefore;

    /// <param name="door">Where they knock.</param>
    /// <param name="honest">Those that must get in; the last of them is the preempt channel.</param>
    /// <param name="others">The rest.</param>
    internal Crowd(Door door, Script[] honest, Script[] others)
    {
        _door = door;
        _admittedBefore = door.Admission.Admitted;
        _honest = [.. honest.Select(s => new Actor(door, s))];
        _left = [.. _honest, .. others.Select(s => new Actor(door, s))];
    }

    internal string PeerOf(int honest) => _honest[honest].Peer!.Socket.LocalEndPoint!.ToString()!;

    internal async Task PerformAsync(Random random, bool mayWait)
    {
        while (_left.Count > 0)
        {
            var at = random.Next(_left.Count + 1);
            if (at == _left.Count)
            {
                if (mayWait && _honest[..^1].All(a => !a.IsWaiting) && PreemptMayWait)
                {
                    await LeapAsync();
                }
            }
            else if (!_left[at].Step())
            {
                _left.RemoveAt(at);
            }
        }
    }

    /// <summary>Only the preempt channel may be silent beyond every deadline, and only when the others are in.</summary>
    private bool PreemptMayWait
    {
        get
        {
            var preempt = _honest[^1];
            return preempt.Peer is null || (_honest[..^1].All(a => a.IsDone) && (preempt.Sent == 0 || preempt.IsDone));
        }
    }

    /// <summary>
    /// Past deadlines of those who are there; who has said everything is let in first, for a race with the clock proves nothing.
    /// </summary>
    private async Task LeapAsync()
    {
        var complete = _honest[..^1].All(a => a.IsDone);
        var proved = _honest[..^1].Count(a => a.IsDone) + (complete && _honest[^1].IsDone ? 1 : 0);
        await Eventually.TrueAsync(
            () => _door.Admission.Admitted >= _admittedBefore + proved, $"{proved} admitted", TestContext.Current.CancellationToken);
        _door.Time.Advance(TimeSpan.FromSeconds(17));
    }

    private sealed class Actor(Door door, Script script)
    {
        private int _step;

        internal ScriptedPeer? Peer { get; private set; }

        internal int Sent { get; private set; }

        internal bool IsDone => Peer is not null && Sent == script.Bytes.Length;

        /// <summary>Connected, and its proof is not whole.</summary>
        internal bool IsWaiting => Peer is not null && !IsDone;

        /// <summary>False when it has nothing more to do.</summary>
        internal bool Step()
        {
            if (Peer is null)
            {
                Peer = door.KnockFrom(script.From);
                return true;
            }

            var cut = _step < script.Cuts.Length ? script.Cuts[_step++] : script.Bytes.Length;
            var end = Math.Min(Sent + cut, script.Bytes.Length);
            if (end > Sent && Try(() => Peer.Send(script.Bytes.AsSpan(Sent, end - Sent))))
            {
                Sent = end;
                return true;
            }

            if (script.Leaving == Leaving.Finishes)
            {
                Try(() => Peer.Finish());
            }
            else if (script.Leaving == Leaving.Resets)
            {
                Try(Peer.Reset);
            }

            return false;
        }

        /// <summary>A stranger that was refused already cannot go on.</summary>
        private static bool Try(Action step)
        {
            try
            {
                step();
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        }
    }
}
