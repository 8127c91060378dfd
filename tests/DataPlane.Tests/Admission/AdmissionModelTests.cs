using CsCheck;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>
/// Random crowds at the door, first of a new migration and then of its recovery: the honest set and strangers of all kinds, whose connects,
/// byte splits, deadlines and departures interleave at random (<see cref="Crowd"/>).
/// </summary>
/// <remarks>
/// Whatever happens: one main, one channel of each id, one preempt channel, each with its whole proof; nobody else; and the honest set is
/// in without any further event once its last byte is sent, because the clock stands still then.
/// </remarks>
public sealed class AdmissionModelTests
{
    private const long Page = 0x1234000;

    private static readonly string[] s_firstSet = ["main", "multifd 0", "multifd 1", "preempt"];
    private static readonly string[] s_recoveredSet = ["main", "preempt"];

    private static readonly Gen<byte[]> s_strangerBytes = Gen.OneOf(
        Gen.Const(Array.Empty<byte>()),
        Gen.Select(Gen.Int[1, 7], n => Opening.Main[..n]),
        Gen.Select(Gen.Int[1, 63], Gen.Int[0, 2], (n, id) => Opening.Multifd(id)[..n]),
        Gen.Const(Opening.Http),
        Gen.Const(Opening.TlsHello),
        Gen.Const(Opening.End),
        Gen.Select(Gen.Int[1, 14], n => Opening.PageRecord[..n]),
        Gen.Select(Gen.Long[0, 1L << 40], offset => Opening.Record(((offset / 4096) * 4096) | (1L << 41), Opening.PageFlag)),
        Gen.Const(Opening.Record(Page, Opening.PageFlag, "nowhere")),
        Gen.Select(Gen.Int[0, 11], n => Opening.Recovery[..n]),
        Gen.Select(Gen.Int[2, 255], id => Opening.Multifd(id)),
        Gen.Select(Gen.Int[0, 1], id => Opening.Multifd(id, Guid.Empty)),
        Gen.Select(Gen.Int[4, 7], at => Opening.With(Opening.Main, at, 9)));

    private static readonly Gen<byte[]> s_impostorBytes = Gen.OneOf(
        Gen.Const(Opening.Main),
        Gen.Const(Opening.Recovery),
        Gen.Const(Opening.PageRecord),
        Gen.Select(Gen.Int[0, 1], id => Opening.Multifd(id)),
        s_strangerBytes);

    private static readonly Gen<Script[]> s_firstHonest = Honest(
        Opening.Main, Opening.Multifd(0), Opening.Multifd(1), Opening.PageRecord);

    private static readonly Gen<Script[]> s_recoveredHonest = Honest(Opening.Recovery, Opening.PageRecord);

    private static Gen<Script[]> Strangers(Gen<byte[]> bytes, int from) => Gen.Select(
        bytes, Gen.Int[1, 20].Array[0, 70], Gen.Enum<Leaving>(), Gen.Int[1, from],
        (b, cuts, leaving, address) => new Script(b, cuts, leaving, $"127.0.0.{address}")).Array[0, 12];

    private static Gen<Script[]> Honest(params byte[][] openings) => Gen.Int[1, 20].Array[0, 70].Array[openings.Length]
        .Select(cuts => openings.Select((o, i) => new Script(o, cuts[i], Leaving.Stays, "127.0.0.1")).ToArray());

    private static void Sample(Gen<byte[]> others, int from, bool impostors) => Gen.Select(
        s_firstHonest, Strangers(others, from), s_recoveredHonest, Strangers(others, from), Gen.Int,
        (first, strangers, recovered, later, seed) => (first, strangers, recovered, later, seed))
        .Sample(
            c => RunAsync(c.first, c.strangers, c.recovered, c.later, new Random(c.seed), impostors).GetAwaiter().GetResult(),
            iter: 60, threads: 1);

    [Fact]
    public void The_honest_set_is_always_admitted_whatever_strangers_do() => Sample(s_strangerBytes, from: 3, impostors: false);

    [Fact]
    public void With_impostors_about_there_is_still_one_channel_of_each_identity() =>
        Sample(s_impostorBytes, from: 1, impostors: true); // of main's address: else main's impostor makes the others foreigners

    private static async Task<bool> RunAsync(
        Script[] first, Script[] strangers, Script[] recovered, Script[] later, Random random, bool impostors)
    {
        var host = new ScriptedHost().Request(Page);
        await using var door = Door.Open(Door.Expect(2) with { Preempt = true }, host);
        if (!await ServeAsync(door, first, strangers, random, s_firstSet, impostors))
        {
            return false;
        }

        // What came in is dropped by the network, and the host expects it again.
        host.IsPaused = true;
        door.Admission.ExpectRecovery();
        var fair = impostors ? later : [.. later.Where(s => !s.Bytes.AsSpan().SequenceEqual(Opening.Recovery))];
        return await ServeAsync(door, recovered, fair, random, s_recoveredSet, impostors);
    }

    private static async Task<bool> ServeAsync(
        Door door, Script[] honest, Script[] others, Random random, string[] expected, bool impostors)
    {
        var admittedBefore = door.Admission.Admitted;
        var refusedBefore = door.Refusals.Count;
        var crowd = new Crowd(door, honest, others);
        await crowd.PerformAsync(random, mayWait: !impostors);

        var taken = await door.TakeAsync(expected.Length);
        var whole = taken.Select(t => t.Name).Order().SequenceEqual(expected);
        var proved = taken.All(t => t.Consumed.Span.StartsWith(honest[expected.IndexOf(t.Name)].Bytes.AsSpan(0, t.Kind switch
        {
            ChannelKind.Main when !t.Recovered => 8,
            ChannelKind.Multifd => 64,
            _ => honest[expected.IndexOf(t.Name)].Bytes.Length,
        })));
        var theirs = taken.All(t => t.Peer == crowd.PeerOf(expected.IndexOf(t.Name)));

        // Nobody else is ever admitted: after the last deadline all others are refused.
        var refused = refusedBefore + honest.Length + others.Length - expected.Length;
        await Eventually.TrueAsync(() =>
        {
            door.Time.Advance(TimeSpan.FromSeconds(31));
            return door.Refusals.Count == refused;
        }, $"{refused} refused", TestContext.Current.CancellationToken);
        return whole && proved && (theirs || impostors) && door.Admission.Undecided == 0
            && door.Admission.Admitted == admittedBefore + expected.Length;
    }
}
