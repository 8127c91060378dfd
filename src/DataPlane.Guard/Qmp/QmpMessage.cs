using System.Buffers;
using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>One line of a monitor: its greeting, an event, or the answer to a command. Other lines have no meaning for the guard.</summary>
/// <param name="Kind">The kind of the line.</param>
/// <param name="Event">The name of an event; empty for other kinds.</param>
/// <param name="Id">The number of the command that is answered; 0 for other kinds.</param>
/// <param name="Body">The greeting, the event's data (undefined where it has none) or the whole answer.</param>
internal readonly record struct QmpMessage(QmpMessageKind Kind, string Event, int Id, JsonElement Body)
{
    /// <exception cref="QmpException">The line is not what a monitor writes.</exception>
    public static QmpMessage Read(ReadOnlySequence<byte> line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            var message = document.RootElement.Clone();
            if (message.TryGetProperty("event", out var name))
            {
                var data = message.TryGetProperty("data", out var said) ? said : default;
                return new(QmpMessageKind.Event, name.GetString() ?? "", 0, data);
            }

            if (message.TryGetProperty("QMP", out var greeting))
            {
                return new(QmpMessageKind.Greeting, "", 0, greeting);
            }

            return message.TryGetProperty("id", out var id)
                ? new(QmpMessageKind.Answer, "", id.GetInt32(), message) : new(QmpMessageKind.Other, "", 0, message);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // InvalidOperationException: the line is no object, or a field has another type. FormatException: the id is not one of the
            // guard's.
            throw new QmpException($"the monitor sent a line that is no message: {e.Message}", e);
        }
    }
}

/// <summary>The kind of a monitor's line.</summary>
internal enum QmpMessageKind
{
    /// <summary>A line that the guard does not know.</summary>
    Other,

    /// <summary>The greeting: the first line, with version and capabilities.</summary>
    Greeting,

    /// <summary>An event, which QEMU sends without being asked.</summary>
    Event,

    /// <summary>The answer to a command: its result or its error.</summary>
    Answer,
}
