using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.Transport;

/// <summary>
/// The host's logger. A line that it cannot take is lost and nothing else: an exception of it would end a thread, and with it the process,
/// or a migration between the last page and the answer that keeps the source from running the guest again. Thread-safe if the host's is.
/// </summary>
internal sealed class HostLogger(ILogger target) : ILogger
{
    /// <summary>Returns the logger for a host that may have given none.</summary>
    public static ILogger Of(ILogger? target) => target switch
    {
        null => NullLogger.Instance,
        HostLogger wrapped => wrapped,
        _ => new HostLogger(target),
    };

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull
    {
        try
        {
            return target.BeginScope(state);
        }
        catch (Exception)
        {
            return null;
        }
    }

    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return target.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            return false;
        }
    }

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        try
        {
            target.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
            // The line is lost.
        }
    }
}
