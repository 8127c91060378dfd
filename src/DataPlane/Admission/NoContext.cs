namespace DataPlane.Admission;

/// <summary>The context of a migration that cannot be paused and asks for no page.</summary>
internal sealed class NoContext : IAdmissionContext
{
    internal static NoContext Instance { get; } = new();

    public bool IsPaused => false;

    public bool LoneEndIsPlausible => false;

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset) => PreemptVerdict.NotYet;
}
