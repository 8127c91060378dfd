using System.Net.Sockets;
using CsCheck;
using DataPlane.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>
/// Random crowds: the honest set and strangers of all kinds, whose connects, byte splits and departures interleave at random.
/// </summary>
public sealed class AdmissionModelTests
{
    private enum Leaving
    {
        Stays,
        Finishes,
        Resets,
    }

    /// <summary>What one connection does, step by step: connect, send each piece, leave.</summary>
    private sealed record Script(byte[] Bytes, int[] Cuts, Leaving Leaving);

    private static Gen<Script> ScriptOf(Gen<byte[]> bytes, Gen<Leaving> leaving) =>
        Gen.Select(bytes, Gen.Int[1, 20].Array[0, 70], leaving, (b, c, l) => new Script(b, c, l));

    private static readonly Gen<byte[]> s_strangerBytes = Gen.OneOf(
        Gen.Const(Array.Empty<byte>()),
        Gen.Select(Gen.Int[1, 7], n => Opening.Main[..n]),
        Gen.Select(Gen.Int[1, 63], Gen.Int[0, 2], (n, id) => Opening.Multifd(id)[..n]),
        Gen.Const(Opening.Http),
        Gen.Const(Opening.PageRecord),
        Gen.Const(Opening.Recovery),
        Gen.Const(Opening.TlsHello),
        Gen.Select(Gen.Int[2, 255], id => Opening.Multifd(id)),
        Gen.Select(Gen.Int[0, 1], id => Opening.Multifd(id, Guid.Empty)),
        Gen.Select(Gen.Int[4, 7], at => Opening.With(Opening.Main, at, 9)));

    private static readonly Gen<byte[]> s_impostorBytes =
        Gen.OneOf(Gen.Const(Opening.Main), Gen.Select(Gen.Int[0, 1], id => Opening.Multifd(id)), s_strangerBytes);

    private static Gen<(Script[] Honest, Script[] Others, int Seed)> Crowd(Gen<byte[]> others) => Gen.Select(
        ScriptOf(Gen.Const(Opening.Main), Gen.Const(Leaving.Stays)),
        ScriptOf(Gen.Const(Opening.Multifd(0)), Gen.Const(Leaving.Stays)),
        ScriptOf(Gen.Const(Opening.Multifd(1)), Gen.Const(Leaving.Stays)),
        ScriptOf(others, Gen.Enum<Leaving>()).Array[0, 12],
        Gen.Int,
        (main, zero, one, crowd, seed) => (new[] { main, zero, one }, crowd, seed));

    [Fact]
    public void The_honest_set_is_always_admitted_whatever_strangers_do() =>
        Crowd(s_strangerBytes).Sample(crowd => RunAsync(crowd, impostors: false).GetAwaiter().GetResult(), iter: 60, threads: 1);

    [Fact]
    public void With_impostors_about_there_is_still_one_main_and_one_channel_of_each_id() =>
        Crowd(s_impostorBytes).Sample(crowd => RunAsync(crowd, impostors: true).GetAwaiter().GetResult(), iter: 60, threads: 1);

    private static async Task<bool> RunAsync((Script[] Honest, Script[] Others, int Seed) crowd, bool impostors)
    {
        await using Door door = Door.Open(Door.Expect(2));
        Script[] all = [.. crowd.Honest, .. crowd.Others];
        IEnumerator<ScriptedPeer>[] actors = [.. all.Select(s => Perform(door, s).GetEnumerator())];
        ScriptedPeer?[] peers = new ScriptedPeer?[all.Length];
        List<int> left = [.. Enumerable.Range(0, all.Length)];
        Random random = new(crowd.Seed);
        while (left.Count > 0)
        {
            int at = random.Next(left.Count);
            if (actors[left[at]].MoveNext())
                peers[left[at]] = actors[left[at]].Current;
            else
                left.RemoveAt(at);
        }

        List<AdmittedChannel> taken = await door.TakeAsync(3);
        bool whole = taken.Select(t => t.Channel.Name).Order().SequenceEqual(["main", "multifd 0", "multifd 1"]);
        bool honest = taken.Select(t => t.Channel.Peer).Order()
            .SequenceEqual(crowd.Honest.Select((_, i) => peers[i]!.Socket.LocalEndPoint!.ToString()!).Order());

        // Nobody else is ever admitted: after the last deadline all others are refused.
        int others = all.Length - 3;
        await Eventually.TrueAsync(() =>
        {
            door.Time.Advance(TimeSpan.FromSeconds(31));
            return door.Refusals.Count == others;
        }, $"{others} refused", TestContext.Current.CancellationToken);
        return whole && (honest || impostors) && door.Admission.Admitted == 3 && door.Admission.Undecided == 0;
    }

    private static IEnumerable<ScriptedPeer> Perform(Door door, Script script)
    {
        ScriptedPeer peer = door.Knock();
        yield return peer;
        int sent = 0;
        foreach (int cut in script.Cuts.Append(script.Bytes.Length))
        {
            int end = Math.Min(sent + cut, script.Bytes.Length);
            if (end == sent || !Try(() => peer.Send(script.Bytes.AsSpan(sent, end - sent))))
                break;
            sent = end;
            yield return peer;
        }

        if (script.Leaving == Leaving.Finishes)
            Try(() => peer.Finish());
        else if (script.Leaving == Leaving.Resets)
            Try(peer.Reset);
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
