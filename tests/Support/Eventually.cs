namespace DataPlane.TestSupport;

/// <summary>Waits for conditions that nothing signals.</summary>
internal static class Eventually
{
    /// <summary>Returns once <paramref name="condition"/> holds; throws when the test is cancelled or a minute has passed.</summary>
    internal static async Task TrueAsync(Func<bool> condition, string what, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while (!condition())
        {
            if (limit.IsCancellationRequested)
                throw new TimeoutException($"never came true: {what}");
            await Task.Delay(1, CancellationToken.None);
        }
    }
}
