namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Finds the known name that somebody may have meant: the one with the fewest letters to insert, remove, replace or swap.
/// </summary>
internal static class NearestName
{
    // A longer word is no typing error, and must not cost time.
    private const int MaxLength = 40;

    /// <summary>The nearest of the names; null when none is near enough to be meant.</summary>
    public static string? Of(string typed, IEnumerable<string> names)
    {
        if (typed.Length is 0 or > MaxLength)
        {
            return null;
        }

        var limit = Math.Max(1, Math.Min(3, typed.Length / 3));
        return names.Select(name => (Name: name, Distance: Distance(typed, name)))
            .Where(near => near.Distance <= limit)
            .OrderBy(static near => near.Distance)
            .ThenBy(static near => near.Name, StringComparer.Ordinal)
            .Select(static near => near.Name)
            .FirstOrDefault();
    }

    private static int Distance(string left, string right)
    {
        var cost = new int[left.Length + 1, right.Length + 1];
        for (var i = 0; i <= left.Length; i++)
        {
            cost[i, 0] = i;
        }

        for (var j = 0; j <= right.Length; j++)
        {
            cost[0, j] = j;
        }

        for (var i = 1; i <= left.Length; i++)
        {
            for (var j = 1; j <= right.Length; j++)
            {
                var replaced = cost[i - 1, j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
                cost[i, j] = Math.Min(replaced, Math.Min(cost[i - 1, j], cost[i, j - 1]) + 1);
                var isSwapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                if (isSwapped)
                {
                    cost[i, j] = Math.Min(cost[i, j], cost[i - 2, j - 2] + 1);
                }
            }
        }

        return cost[left.Length, right.Length];
    }
}
