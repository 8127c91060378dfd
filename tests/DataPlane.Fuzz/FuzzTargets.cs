using DataPlane.Fuzz.Targets;

namespace DataPlane.Fuzz;

/// <summary>All targets, in the order of the list.</summary>
internal static class FuzzTargets
{
    public static IReadOnlyList<Func<IFuzzTarget>> All { get; } =
    [
        () => new MainRecords(),
        () => new MultifdRecords(),
    ];

    /// <summary>The names alone: a target may hold memory and sockets.</summary>
    public static IFuzzTarget? Find(string name) => All.Select(make => make()).FirstOrDefault(target => target.Name == name);
}
