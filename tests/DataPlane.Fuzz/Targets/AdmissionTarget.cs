using System.Net;
using DataPlane.Admission;
using DataPlane.Transport;

namespace DataPlane.Fuzz.Targets;

/// <summary>The first bytes of a connection, judged at every length at which they may arrive; the input chooses the migration.</summary>
internal sealed class AdmissionTarget : IFuzzTarget
{
    // 08 | command | length | name, at most; a record's head is longer only by three bytes. A ClientHello may be one record.
    private const int MostRead = 5 + (1 << 14);

    private static readonly PeerGroup s_source = PeerGroup.Of(IPAddress.Parse("192.0.2.1"));
    private static readonly PeerGroup s_other = PeerGroup.Of(IPAddress.Parse("192.0.2.2"));

    public string Reads => "first bytes of a connection at every length, ClientHellos among them (AdmissionRules.Judge)";

    public int MaxInputBytes => 640;

    public long MaxAllocatedBytes => 256 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var facts = MakeFacts(ref choices, out var peer, out var isInside);
        var opening = choices.Rest;
        var before = AdmissionVerdict.Undecided;
        for (var length = 0; length <= opening.Length; length++)
        {
            var verdict = AdmissionRules.Judge(opening[..length], peer, facts, isInside);
            var limit = AdmissionRules.ReadLimit(opening[..length]);
            // Whoever is let in or refused stays so, however much of it is seen at once; for the undecided there is more to read.
            if (before.Refused is not null)
            {
                Oracle.Holds(verdict.Refused is not null);
            }

            if (before.Admitted is not null)
            {
                Oracle.Holds(verdict == before);
            }

            if (verdict == AdmissionVerdict.Undecided)
            {
                Oracle.Holds(limit > length && limit <= MostRead);
            }

            Oracle.Holds(verdict.Admitted is null || verdict.Refused is null);
            before = verdict;
            if (verdict.IsHeld || (verdict.Admitted is not null && length >= limit))
            {
                return verdict.Admitted is not null; // what follows is the channel's own
            }
        }

        return before.Admitted is not null;
    }

    private static AdmissionFacts MakeFacts(ref FuzzInput choices, out PeerGroup peer, out bool isInside)
    {
        var options = choices.Byte();
        var state = choices.Byte();
        var facts = new AdmissionFacts(
            new AdmissionOptions
            {
                MultifdChannels = options & 3,
                Preempt = (options & 4) != 0,
                TlsPassThrough = (options & 8) != 0,
                Uuid = (options & 16) != 0 ? new Guid("00010203-0405-0607-0809-0a0b0c0d0e0f") : null,
                AnyPeer = (options & 32) != 0,
            },
            new Host(choices.Byte()));
        if ((state & 1) != 0)
        {
            facts.AddMain(s_source, recovered: (state & 2) != 0);
        }

        if ((state & 4) != 0 && (options & 3) != 0)
        {
            facts.AddMultifd(0, Guid.Empty, s_source);
        }

        if ((state & 8) != 0)
        {
            facts.AddPreempt(s_source);
        }

        peer = (state & 16) != 0 ? s_source : s_other;
        isInside = (state & 32) != 0;
        return facts;
    }

    private sealed class Host(byte state) : IAdmissionHost
    {
        public bool IsPaused => (state & 1) != 0;

        public bool MayBePaused => (state & 2) != 0;

        public bool LoneEndIsPlausible => (state & 4) != 0;

        public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset)
        {
            Oracle.Holds(!blockName.IsEmpty && offset >= 0);
            return (PreemptVerdict)((state >> 3) % 3);
        }

        public bool MayBeBlock(ReadOnlySpan<byte> blockName)
        {
            Oracle.Holds(!blockName.IsEmpty);
            return (state & 32) != 0;
        }
    }
}
