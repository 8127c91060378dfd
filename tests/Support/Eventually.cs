namespace DataPlane.TestSupport;

/// <summary>Waits for conditions that nothing signals.</summary>
internal static class Eventually
{
    /// <summary>Returns once <paramref name="condition"/> holds; throws when the test is cancelled or a minute has passed.</summary>
    internal static Task TrueAsync(Func<bool> condition, string what, CancellationToken cancellationToken) =>
        TrueAsync(() => Task.FromResult(condition()), what, cancellationToken);

    /// <summary>The same for a condition that has to be asked for.</summary>
    internal static async Task TrueAsync(Func<Task<bool>> condition, string what, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(1));
        while (!await condition())
        {
            if (limit.IsCancellationRequested)
            {
                throw new TimeoutException($"never came true: {what}");
            }

            await Task.Delay(1, CancellationToken.None);
        }
    }
}
