namespace DataPlane.Admission;

/// <summary>The host of a migration that cannot be paused and asks for no page.</summary>
internal sealed class NoHost : IAdmissionHost
{
    public static NoHost Instance { get; } = new();

    public bool IsPaused => false;

    public bool LoneEndIsPlausible => false;

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset) => PreemptVerdict.NotYet;
}
