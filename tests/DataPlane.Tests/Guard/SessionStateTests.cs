using DataPlane.Guard;
using DataPlane.Guard.Session;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class SessionStateTests
{
    [Theory]
    [InlineData(GuardState.Completed)]
    [InlineData(GuardState.Failed)]
    [InlineData(GuardState.Stopped)]
    public void An_end_is_final(GuardState end)
    {
        var state = new SessionState("vm", TimeProvider.System, NullLogger.Instance);
        state.Enter(GuardState.Relaying);
        state.Enter(end, "the reason");

        state.Enter(GuardState.Relaying);
        state.Enter(end == GuardState.Failed ? GuardState.Completed : GuardState.Failed, "another reason");

        Assert.Equal((end, "the reason"), (state.Current, state.Failure));
    }
}
