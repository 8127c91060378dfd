using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>A time limit that no timer takes is refused beforehand, and not where it would be needed.</summary>
public sealed class OptionLimitsTests
{
    public static TheoryData<MigrationSourceOptions> Sources { get; } =
    [
        new MigrationSourceOptions { CommitTimeout = TimeSpan.MaxValue },
        new MigrationSourceOptions { RecoveryTimeout = TimeSpan.MaxValue },
        new MigrationSourceOptions { StallTimeout = TimeSpan.MaxValue },
        new MigrationSourceOptions { ProgressInterval = TimeSpan.MaxValue },
        new MigrationSourceOptions { TlsHandshakeTimeout = TimeSpan.MaxValue },
        new MigrationSourceOptions { CommitTimeout = TimeSpan.Zero },
        new MigrationSourceOptions { RecoveryTimeout = TimeSpan.FromSeconds(-1) },
    ];

    public static TheoryData<MigrationDestinationOptions> Destinations { get; } =
    [
        new MigrationDestinationOptions { CloseTimeout = TimeSpan.MaxValue },
        new MigrationDestinationOptions { StallTimeout = TimeSpan.MaxValue },
        new MigrationDestinationOptions { ProgressInterval = TimeSpan.MaxValue },
        new MigrationDestinationOptions { UndecidedTimeout = TimeSpan.MaxValue },
    ];

    [Theory]
    [MemberData(nameof(Sources))]
    public void A_source_refuses_it(MigrationSourceOptions options) => Assert.Throws<ArgumentOutOfRangeException>(options.Validate);

    [Theory]
    [MemberData(nameof(Destinations))]
    public void A_destination_refuses_it(MigrationDestinationOptions options) =>
        Assert.Throws<ArgumentOutOfRangeException>(options.Validate);

    [Fact]
    public void No_limit_of_a_stall_is_no_long_limit() =>
        new MigrationSourceOptions { StallTimeout = Timeout.InfiniteTimeSpan, RecoveryTimeout = TimeSpan.FromDays(49) }.Validate();
}
