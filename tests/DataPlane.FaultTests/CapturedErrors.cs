using Microsoft.Extensions.Logging;

namespace DataPlane.FaultTests;

/// <summary>Keeps the log events that report a fault of ours: 5009, memory that was not given back.</summary>
internal sealed class CapturedErrors<T> : ILogger<T>
{
    private const int BlocksKept = 5009;

    private readonly List<string> _messages = [];

    internal IReadOnlyList<string> Messages
    {
        get
        {
            lock (_messages)
            {
                return [.. _messages];
            }
        }
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id == BlocksKept)
        {
            lock (_messages)
            {
                _messages.Add(formatter(state, exception));
            }
        }
    }
}
