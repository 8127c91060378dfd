using DataPlane.TestSupport;
using Xunit.v3;

[assembly: TestDeadline]

// One at a time: descriptors and threads are counted for the whole process.
[assembly: Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]
