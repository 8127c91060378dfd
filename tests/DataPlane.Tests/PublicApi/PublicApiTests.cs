using DataPlane.Guard;
using DataPlane.Images;
using PublicApiGenerator;
using Xunit;

namespace DataPlane.Tests.PublicApi;

/// <summary>What others build on changes only on purpose: the public surface of each library is written down beside this file.</summary>
public sealed class PublicApiTests
{
    private static readonly ApiGeneratorOptions s_options = new() { IncludeAssemblyAttributes = false };

    [Theory]
    [InlineData(typeof(MigrationSource))]
    [InlineData(typeof(MappedRamGuest))]
    [InlineData(typeof(GuardedVm))]
    public void The_public_surface_is_the_recorded_one(Type member)
    {
        var assembly = member.Assembly;
        var name = assembly.GetName().Name!;
        var generated = assembly.GeneratePublicApi(s_options).ReplaceLineEndings("\n").TrimEnd() + "\n";
        var recorded = Path.Combine(AppContext.BaseDirectory, "PublicApi", $"{name}.txt");
        if (File.Exists(recorded) && File.ReadAllText(recorded).ReplaceLineEndings("\n") == generated)
        {
            return;
        }

        var received = Path.Combine(AppContext.BaseDirectory, $"{name}.received.txt");
        File.WriteAllText(received, generated);
        Assert.Fail(
            $"the public surface of {name} has changed. Compare and, if it is meant so, accept it:\n"
            + $"  diff -u tests/DataPlane.Tests/PublicApi/{name}.txt {received}\n"
            + $"  cp {received} tests/DataPlane.Tests/PublicApi/{name}.txt");
    }
}
