using System.Collections.Concurrent;
using System.Reflection;
using Xunit.v3;

namespace DataPlane.TestSupport;

/// <summary>Gives every test of an assembly, or of a class, a <see cref="TestDeadline"/>.</summary>
[AttributeUsage(AttributeTargets.Assembly | AttributeTargets.Class)]
internal sealed class TestDeadlineAttribute : BeforeAfterTestAttribute
{
    private readonly ConcurrentDictionary<string, TestDeadline> _running = [];

    public override void Before(MethodInfo methodUnderTest, IXunitTest test) =>
        _running[test.UniqueID] = new TestDeadline(Xunit.TestContext.Current);

    public override void After(MethodInfo methodUnderTest, IXunitTest test)
    {
        if (_running.TryRemove(test.UniqueID, out var deadline))
        {
            deadline.Dispose();
        }
    }
}
