using Xunit.Sdk;
using Xunit.v3;

// Every test stands alone, but a QEMU with a guest that computes takes a whole core, and so does what it talks to.
[assembly: Parallelization(Mode = ParallelMode.All, MaxThreads = 2)]
