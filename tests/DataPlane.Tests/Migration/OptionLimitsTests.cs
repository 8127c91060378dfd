using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>A time limit that no timer takes is refused beforehand, and not where it would be needed.</summary>
public sealed class OptionLimitsTests
{
    public static TheoryData<MigrationSourceOptions> Sources { get; } =
    [
        new() { CommitTimeout = TimeSpan.MaxValue },
        new() { RecoveryTimeout = TimeSpan.MaxValue },
        new() { StallTimeout = TimeSpan.MaxValue },
        new() { ProgressInterval = TimeSpan.MaxValue },
        new() { TlsHandshakeTimeout = TimeSpan.MaxValue },
        new() { CommitTimeout = TimeSpan.Zero },
        new() { RecoveryTimeout = TimeSpan.FromSeconds(-1) },
    ];

    public static TheoryData<MigrationDestinationOptions> Destinations { get; } =
    [
        new() { CloseTimeout = TimeSpan.MaxValue },
        new() { StallTimeout = TimeSpan.MaxValue },
        new() { ProgressInterval = TimeSpan.MaxValue },
        new() { UndecidedTimeout = TimeSpan.MaxValue },
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
