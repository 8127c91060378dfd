using Xunit;

namespace DataPlane.Tests.Support;

/// <summary>
/// Runs alone. These tests count or limit the descriptors of the whole process, or count what their thread allocates: a collection that
/// another thread's allocations set off adds up to 8 KiB to that count, the unused rest of the thread's allocation buffer.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class CountsOfTheProcess
{
    internal const string Name = "counts of the process";
}
