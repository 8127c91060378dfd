using System.Reflection;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

/// <summary>
/// Every fact of the table at its boundary: by the machine type alone, by the version alone, by both, and where nothing is known.
/// </summary>
public sealed class QemuCompatibilityTests
{
    private static readonly (string Fact, string? Machine, string? Told, bool Holds)[] s_rows =
    [
        (nameof(QemuCompatibility.IsOurs), null, null, false),
        (nameof(QemuCompatibility.IsOurs), "pc-q35-11.1", "11.1", false),
        (nameof(QemuCompatibility.IsOurs), "dataplane", null, false),
        (nameof(QemuCompatibility.IsOurs), "dataplane-x", null, true),
        (nameof(QemuCompatibility.IsOurs), "dataplane-test-1.0", "7.2", true),

        (nameof(QemuCompatibility.HasKnownSync), null, null, false),
        (nameof(QemuCompatibility.HasKnownSync), null, "8.0", true),
        (nameof(QemuCompatibility.HasKnownSync), null, "8.1", false),
        (nameof(QemuCompatibility.HasKnownSync), "microvm", null, false),
        (nameof(QemuCompatibility.HasKnownSync), "microvm", "8.0", true),
        (nameof(QemuCompatibility.HasKnownSync), "microvm", "8.1", false),
        (nameof(QemuCompatibility.HasKnownSync), "pc-q35-8.1", null, true),
        (nameof(QemuCompatibility.HasKnownSync), "dataplane-x", null, true),

        (nameof(QemuCompatibility.SyncsAtFlushRecords), null, null, true),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), null, "8.0", false),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), null, "8.1", true),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), "pc-q35-8.0", null, false),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), "pc-q35-8.1", null, true),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), "pc-q35-8.0", "8.1", false),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), "pc-q35-8.1", "8.0", false),
        (nameof(QemuCompatibility.SyncsAtFlushRecords), "dataplane-test-1.0", "7.2", true),

        (nameof(QemuCompatibility.TakesZeroPagesInPackets), null, null, true),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), null, "8.2", false),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), null, "9.0", true),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), "pc-q35-8.2", null, false),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), "pc-q35-9.0", null, true),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), "pc-q35-8.2", "9.0", false),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), "pc-q35-9.0", "8.2", false),
        (nameof(QemuCompatibility.TakesZeroPagesInPackets), "dataplane-test-1.0", "7.2", true),

        (nameof(QemuCompatibility.TakesSwitchoverStart), null, null, false),
        (nameof(QemuCompatibility.TakesSwitchoverStart), null, "9.2", false),
        (nameof(QemuCompatibility.TakesSwitchoverStart), null, "10.0", true),
        (nameof(QemuCompatibility.TakesSwitchoverStart), "pc-q35-9.2", null, false),
        (nameof(QemuCompatibility.TakesSwitchoverStart), "pc-q35-10.0", null, true),
        (nameof(QemuCompatibility.TakesSwitchoverStart), "pc-q35-9.2", "10.0", false),
        (nameof(QemuCompatibility.TakesSwitchoverStart), "pc-q35-10.0", "9.2", false),
        (nameof(QemuCompatibility.TakesSwitchoverStart), "dataplane-test-1.0", "7.2", true),

        (nameof(QemuCompatibility.AwaitsSwitchoverAck), null, null, false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), null, "8.0", false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), null, "8.1", true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), null, "11.0", true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), null, "11.1", false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-8.0", null, false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-8.1", null, true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-11.0", null, true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-11.1", null, false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-8.0", "8.1", true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-8.1", "8.0", false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-11.0", "11.1", true),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "pc-q35-11.1", "11.0", false),
        (nameof(QemuCompatibility.AwaitsSwitchoverAck), "dataplane-bench-10.0", "10.0", false),

        (nameof(QemuCompatibility.NeedsPreemptEnd), null, null, true),
        (nameof(QemuCompatibility.NeedsPreemptEnd), null, "7.2.22", true),
        (nameof(QemuCompatibility.NeedsPreemptEnd), null, "8.0.0", false),
        (nameof(QemuCompatibility.NeedsPreemptEnd), "pc-q35-7.2", null, true),
        (nameof(QemuCompatibility.NeedsPreemptEnd), "pc-q35-8.0", null, false),
        (nameof(QemuCompatibility.NeedsPreemptEnd), "pc-q35-7.2", "8.0", false),

        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), null, null, true),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), null, "10.0.13", false),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), null, "10.1.0", true),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), "pc-q35-10.0", null, false),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), "pc-q35-10.1", null, true),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), "pc-q35-10.0", "10.1", true),
        (nameof(QemuCompatibility.TakesPostcopyBesideMultifd), "dataplane-test-1.0", null, true),

        (nameof(QemuCompatibility.RepeatsRecovery), null, null, true),
        (nameof(QemuCompatibility.RepeatsRecovery), null, "8.1", false),
        (nameof(QemuCompatibility.RepeatsRecovery), null, "8.2", true),
        (nameof(QemuCompatibility.RepeatsRecovery), "pc-q35-8.1", null, false),
        (nameof(QemuCompatibility.RepeatsRecovery), "pc-q35-8.2", null, true),
        (nameof(QemuCompatibility.RepeatsRecovery), "pc-q35-8.1", "8.2", true),
        (nameof(QemuCompatibility.RepeatsRecovery), "pc-q35-8.2", "8.1", false),
        (nameof(QemuCompatibility.RepeatsRecovery), "dataplane-test-1.0", null, true),
        (nameof(QemuCompatibility.RepeatsRecovery), "dataplane-x", "7.2", true),

        (nameof(QemuCompatibility.ListensAfterShut), null, null, false),
        (nameof(QemuCompatibility.ListensAfterShut), null, "8.1", false),
        (nameof(QemuCompatibility.ListensAfterShut), null, "8.2", true),
        (nameof(QemuCompatibility.ListensAfterShut), "pc-q35-8.1", null, false),
        (nameof(QemuCompatibility.ListensAfterShut), "pc-q35-8.2", null, true),
        (nameof(QemuCompatibility.ListensAfterShut), "pc-q35-8.1", "8.2", true),
        (nameof(QemuCompatibility.ListensAfterShut), "dataplane-test-10.0", null, false),

        (nameof(QemuCompatibility.TakesGuestBack), null, null, false),
        (nameof(QemuCompatibility.TakesGuestBack), null, "10.1", false),
        (nameof(QemuCompatibility.TakesGuestBack), null, "10.2", true),
        (nameof(QemuCompatibility.TakesGuestBack), "pc-q35-10.1", null, false),
        (nameof(QemuCompatibility.TakesGuestBack), "pc-q35-10.2", null, true),
        (nameof(QemuCompatibility.TakesGuestBack), "pc-q35-10.1", "10.2", true),
        (nameof(QemuCompatibility.TakesGuestBack), "dataplane-test-11.0", null, false),
    ];

    private static readonly PropertyInfo[] s_facts =
        [.. typeof(QemuCompatibility).GetProperties().Where(static property => property.PropertyType == typeof(bool))];

    public static TheoryData<string, string?, string?, bool> Rows => new(
        from row in s_rows
        select new TheoryDataRow<string, string?, string?, bool>(row.Fact, row.Machine, row.Told, row.Holds));

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_fact_holds_from_its_boundary_on(string fact, string? machine, string? told, bool holds)
    {
        var known = QemuCompatibility.Of(machine, ToVersion(told));
        Assert.Equal(holds, (bool)s_facts.Single(property => property.Name == fact).GetValue(known)!);
    }

    [Fact]
    public void Every_fact_has_rows_where_it_holds_and_where_it_does_not() => Assert.All(s_facts, static property =>
    {
        Assert.Contains(s_rows, row => row.Fact == property.Name && row.Holds);
        Assert.Contains(s_rows, row => row.Fact == property.Name && !row.Holds);
    });

    [Theory]
    [InlineData(null, null, 0, false)]
    [InlineData(null, null, 1, true)]
    [InlineData(null, "8.2", 0, false)]
    [InlineData(null, "9.0", 0, true)]
    [InlineData("pc-q35-8.2", null, 0, false)]
    [InlineData("pc-q35-9.0", null, 0, true)]
    [InlineData("pc-q35-8.2", "9.0", 0, true)]
    [InlineData("pc-q35-9.0", "8.2", 0, false)]
    [InlineData("dataplane-test-1.0", "7.2", 0, true)]
    public void A_preempt_channel_may_be_late_from_9_0_on_and_with_multifd(string? machine, string? told, int channels, bool late) =>
        Assert.Equal(late, QemuCompatibility.Of(machine, ToVersion(told)).TakesPreemptAtSwitch(channels));

    [Theory]
    [InlineData("pc-q35-rhel9.4.0", null, false)]
    [InlineData("pc-q35-rhel9.4.0", "pc-q35-8.2", true)] // the machine type of the options counts, if there is one
    [InlineData("pc-q35-10.0", "pc-q35-11.1", false)]
    [InlineData("dataplane-test-1.0", "pc-q35-8.2", false)] // a source of ours is one, whatever the options say
    public void A_source_behaves_as_the_options_say_unless_it_is_ours(string announced, string? machine, bool waits)
    {
        var source = QemuCompatibility.OfSource(announced, machine, told: null);
        Assert.Equal(waits, source.AwaitsSwitchoverAck);
        Assert.Equal(announced.StartsWith("dataplane-", StringComparison.Ordinal), source.IsOurs);
    }

    private static Version? ToVersion(string? text) => text is null ? null : Version.Parse(text);
}
