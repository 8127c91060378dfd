using Microsoft.Extensions.Logging;

namespace DataPlane.Tests.Admission;

/// <summary>Keeps the log events that it is given.</summary>
internal sealed class CollectingLogger : ILogger
{
    private readonly List<(int Id, string Text)> _events = [];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_events)
        {
            _events.Add((eventId.Id, formatter(state, exception)));
        }
    }

    internal int Count(int id)
    {
        lock (_events)
        {
            return _events.Count(e => e.Id == id);
        }
    }

    internal bool Has(int id) => Count(id) > 0;

    internal string Text(int id)
    {
        lock (_events)
        {
            return _events.First(e => e.Id == id).Text;
        }
    }
}
