namespace DataPlane.Migration;

/// <summary>Checks of options; their exceptions name the option, its value and the allowed range.</summary>
internal static class OptionChecks
{
    /// <summary>The longest time limit; the timers of the runtime take little more.</summary>
    public static readonly TimeSpan LongestTime = TimeSpan.FromDays(49);

    public static void InRange(long value, long min, long max, string name)
    {
        if (value < min || value > max)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be {min} to {max}");
        }
    }

    public static void Positive(TimeSpan value, string name)
    {
        if (value == TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be greater than zero");
        }

        NotNegative(value, name);
    }

    public static void NotNegative(TimeSpan value, string name)
    {
        if (value < TimeSpan.Zero || value > LongestTime)
        {
            throw new ArgumentOutOfRangeException(
                name, value, $"{name} must not be negative, and not longer than {LongestTime.TotalDays:0} days");
        }
    }

    /// <summary>Accepts a positive or infinite time; null, for which the option has a default, is accepted, too.</summary>
    public static void PositiveOrInfinite(TimeSpan? value, string name)
    {
        if (value is { } limit && limit != Timeout.InfiniteTimeSpan)
        {
            Positive(limit, name);
        }
    }

    /// <summary>Turns <see cref="Timeout.InfiniteTimeSpan"/> into null, which means no limit to the timers here.</summary>
    public static TimeSpan? Limit(TimeSpan value) => value == Timeout.InfiniteTimeSpan ? null : value;

    public static void Tls(TlsCredentials? credentials, TlsEnd end, string name)
    {
        if (credentials is not null && credentials.End != end)
        {
            throw new ArgumentOutOfRangeException(name, credentials.End, $"{name} must be the credentials of a {end}");
        }
    }
}
