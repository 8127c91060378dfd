using System.Net;
using CsCheck;
using DataPlane.Admission;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Admission;

/// <summary>The rows of the table in AdmissionRules, without sockets.</summary>
public sealed class AdmissionRulesTests
{
    private static readonly PeerGroup s_peer = PeerGroup.Of(IPAddress.Loopback);

    private static readonly AdmissionOptions s_two = new() { MultifdChannels = 2, Uuid = Opening.Uuid };

    [Fact]
    public void Silence_proves_nothing() => Assert.Equal(AdmissionVerdict.Undecided, Judge([], Facts(new AdmissionOptions())));

    [Fact]
    public void A_whole_init_packet_is_a_multifd_channel_and_not_a_byte_less()
    {
        var facts = Facts(s_two);
        var packet = Opening.Multifd(1);
        for (var i = 0; i < 64; i++)
        {
            Assert.Equal(AdmissionVerdict.Undecided, Judge(packet.AsSpan(0, i), facts));
        }

        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd), Judge(packet, facts));
    }

    [Fact]
    public void Each_channel_is_admitted_once()
    {
        var facts = Facts(s_two);
        facts.AddMain(s_peer, recovered: false);
        facts.AddMultifd(1, Opening.Uuid, s_peer);
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.SecondMain), Judge(Opening.Main, facts));
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.IdTaken), Judge(Opening.Multifd(1), facts));
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd), Judge(Opening.Multifd(0), facts));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(255)]
    public void An_id_that_is_not_below_the_count_is_out_of_range(int id) =>
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.IdRange), Judge(Opening.Multifd(id).AsSpan(0, 25), Facts(s_two)));

    [Fact]
    public void The_last_id_of_255_channels_is_in_range() =>
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd),
            Judge(Opening.Multifd(254), Facts(new AdmissionOptions { MultifdChannels = 255 })));

    [Fact]
    public void Without_multifd_its_channels_are_refused() =>
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.NoMultifd),
            Judge(Opening.Multifd(0).AsSpan(0, 8), Facts(new AdmissionOptions())));

    [Fact]
    public void Another_vms_uuid_is_refused_and_the_first_seen_binds_when_none_is_configured()
    {
        var other = Guid.NewGuid();
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.Uuid),
            Judge(Opening.Multifd(0, other).AsSpan(0, 24), Facts(s_two)));

        var unbound = Facts(new AdmissionOptions { MultifdChannels = 2 });
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd), Judge(Opening.Multifd(0, other), unbound));
        unbound.AddMultifd(0, other, s_peer);
        Assert.Equal(AdmissionVerdict.Refuse(RefusalReason.Uuid), Judge(Opening.Multifd(1, Guid.Empty), unbound));
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd), Judge(Opening.Multifd(1, other), unbound));
    }

    [Fact]
    public void A_uuid_is_compared_in_text_order()
    {
        var packet = Opening.Multifd(0);
        Assert.Equal([0x00, 0x11, 0x22, 0x33, 0x44], packet[8..13]);
        Assert.Equal(AdmissionVerdict.Admit(ChannelKind.Multifd), Judge(packet, Facts(s_two)));
    }

    [Theory]
    [InlineData(new byte[] { 0x00 }, RefusalReason.Unexpected)]
    [InlineData(new byte[] { 0x08, 0x00, 0x0A }, RefusalReason.Unexpected)]
    [InlineData(new byte[] { 0x08, 0x00, 0x09 }, RefusalReason.Garbage)]
    [InlineData(new byte[] { 0x08, 0x01 }, RefusalReason.Garbage)]
    [InlineData(new byte[] { 0x16, 0x03 }, RefusalReason.TlsOnPlain)]
    [InlineData(new byte[] { 0x16, 0x02 }, RefusalReason.Garbage)]
    [InlineData(new byte[] { 0x51, 0x45, 0x56, 0x4D, 0, 0, 0, 2 }, RefusalReason.Version)]
    [InlineData(new byte[] { 0x51, 0x45, 0x56, 0x4D, 1 }, RefusalReason.Version)]
    [InlineData(new byte[] { 0x51, 0x45, 0x56, 0x4E }, RefusalReason.Garbage)]
    [InlineData(new byte[] { 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 2 }, RefusalReason.Version)]
    [InlineData(new byte[] { 0x11, 0x22, 0x33, 0x44, 0, 1 }, RefusalReason.Version)]
    [InlineData(new byte[] { 0x44 }, RefusalReason.Garbage)]
    public void Everything_else_is_refused_at_its_first_wrong_byte(byte[] opening, RefusalReason reason)
    {
        var facts = Facts(s_two);
        Assert.Equal(AdmissionVerdict.Undecided, Judge(opening.AsSpan(0, opening.Length - 1), facts));
        Assert.Equal(AdmissionVerdict.Refuse(reason), Judge(opening, facts));
    }

    [Fact]
    public void Signatures_differ_in_their_first_byte_so_that_one_row_at_most_can_fit() =>
        Assert.Equal(AdmissionRules.Table.Length, AdmissionRules.Table.Select(r => r.Signature[0]).Distinct().Count());

    [Fact]
    public void A_decision_is_never_taken_back_by_more_bytes()
    {
        var openings = Gen.OneOf(
            Gen.Byte.Array[0, 70],
            Gen.Select(Gen.Int[0, 3], Gen.Int[0, 63], Gen.Byte, (id, at, value) => Opening.With(Opening.Multifd(id), at, value)),
            Gen.Select(Gen.Int[0, 15], Gen.Byte, (at, value) => Opening.With(Opening.Main, at, value)),
            Gen.Select(Gen.Int[0, 14], Gen.Byte, (at, value) => Opening.With(Opening.PageRecord, at, value)),
            Gen.Select(Gen.Int[0, 11], Gen.Byte, (at, value) => Opening.With(Opening.Recovery, at, value)),
            Gen.Select(Gen.Int[0, 5], Gen.Byte, (at, value) => Opening.With([.. Opening.TlsHello, .. new byte[600]], at, value)));
        var host = new ScriptedHost { IsPaused = true }.Request(0x1234000);
        Gen.Select(openings, Gen.Bool, Gen.Bool).Sample((bytes, main, tls) =>
        {
            var facts = new AdmissionFacts(s_two with { Preempt = true, TlsPassThrough = tls }, host);
            if (main)
            {
                facts.AddMain(s_peer, recovered: false);
            }

            AdmissionVerdict last = default;
            for (var i = 0; i <= bytes.Length; i++)
            {
                var now = Judge(bytes.AsSpan(0, i), facts);
                if (last != AdmissionVerdict.Undecided && now != last)
                {
                    return false;
                }

                last = now;
            }

            return true;
        });
    }

    [Fact]
    public void No_byte_of_an_opening_can_be_changed_without_the_rules_noticing_or_ignoring_it_on_purpose()
    {
        for (var at = 0; at < 64; at++)
        {
            var verdict = Judge(Opening.With(Opening.Multifd(1), at, (byte)(Opening.Multifd(1)[at] ^ 0x80)),
                Facts(s_two));
            RefusalReason? expected = at switch
            {
                < 4 => RefusalReason.Garbage,
                < 8 => RefusalReason.Version,
                < 24 => RefusalReason.Uuid,
                24 => RefusalReason.IdRange,
                _ => null, // unused bytes
            };
            Assert.Equal(expected, verdict.Refused);
        }
    }

    private static AdmissionFacts Facts(AdmissionOptions options) => new(options, NoHost.Instance);

    private static AdmissionVerdict Judge(ReadOnlySpan<byte> opening, AdmissionFacts facts) => AdmissionRules.Judge(opening, s_peer, facts);
}
