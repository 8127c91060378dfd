namespace DataPlane.QemuTests.Harness;

/// <summary>How long the tests wait for what normally takes far less: long enough for a loaded machine with two cores.</summary>
internal static class Patience
{
    public static TimeSpan Default { get; } = TimeSpan.FromSeconds(90);
}
