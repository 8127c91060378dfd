using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;

namespace DataPlane.Benchmarks.Memory;

/// <summary>Adds a GB/s column.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class ThroughputAttribute(long bytesPerInvocation) : Attribute, IConfigSource
{
    public long BytesPerInvocation { get; } = bytesPerInvocation;

    public IConfig Config { get; } = ManualConfig.CreateEmpty().AddColumn(new ThroughputColumn(bytesPerInvocation) as IColumn);
}
