using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>Every kind of migration x every kind of stranger, through the guard.</summary>
public sealed class GuardMatrixTests : GuardTest
{
    public static TheoryData<string> Configurations =>
        new(from configuration in GuardConfiguration.All select new TheoryDataRow<string>(configuration.ToString()));

    public static TheoryData<string> Richest =>
        new(from configuration in GuardConfiguration.Richest select new TheoryDataRow<string>(configuration.ToString()));

    /// <summary>Each kind alone, once per version of QEMU.</summary>
    public static TheoryData<string, string> Kinds => new(
        from configuration in GuardConfiguration.Richest
        from kind in StrangerKinds.All
        select new TheoryDataRow<string, string>(configuration.ToString(), kind.Name));

    /// <summary>All else.</summary>
    public static TheoryData<string, string> Rest => new(
        from configuration in GuardConfiguration.All
        where !GuardConfiguration.Richest.Contains(configuration)
        from kind in StrangerKinds.All
        select new TheoryDataRow<string, string>(configuration.ToString(), kind.Name));

    [Theory(Explicit = true)]
    [MemberData(nameof(Configurations))]
    public Task A_migration_that_nobody_disturbs(string configuration) => MovesAsync(GuardConfiguration.Parse(configuration), []);

    [Theory]
    [MemberData(nameof(Configurations))]
    public Task Strangers_of_all_kinds_at_once(string configuration) =>
        MovesAsync(GuardConfiguration.Parse(configuration), StrangerKinds.All);

    /// <summary>There are more silent connections than the guard may have files open; those of the migration are set aside.</summary>
    [Theory]
    [MemberData(nameof(Richest))]
    public Task Strangers_of_all_kinds_where_descriptors_are_few(string configuration) => MovesAsync(
        GuardConfiguration.Parse(configuration), StrangerKinds.All,
        // Who is given up for want of room is in the log alone.
        new GuardOptions { Before = ["prlimit", "--nofile=512:512"], Extra = ["--verbose"] },
        silent: 700);

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task One_kind_of_stranger(string configuration, string kind) =>
        MovesAsync(GuardConfiguration.Parse(configuration), [StrangerKinds.Parse(kind)]);

    [Theory(Explicit = true)]
    [MemberData(nameof(Rest))]
    public Task One_kind_of_stranger_in_every_other_migration(string configuration, string kind) =>
        MovesAsync(GuardConfiguration.Parse(configuration), [StrangerKinds.Parse(kind)]);
}
