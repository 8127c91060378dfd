using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>A failed step keeps no later one from being taken.</summary>
public sealed class TeardownTests
{
    [Fact]
    public async Task Every_step_is_taken_and_the_first_failure_is_kept()
    {
        List<int> taken = [];
        var teardown = new Teardown();
        teardown.Run(() => taken.Add(1));
        teardown.Run(() => throw new InvalidOperationException("first"));
        await teardown.RunAsync(() => Task.FromException(new IOException("second")));
        await teardown.RunAsync(() => throw new IOException("third"));
        teardown.Run(() => taken.Add(2));
        Assert.Equal([1, 2], taken);
        Assert.Equal("first", Assert.Throws<InvalidOperationException>(teardown.ThrowIfFailed).Message);
    }
}
