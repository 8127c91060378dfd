using System.Buffers;
using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// One line of a monitor: its greeting, an event, or the answer to a command. Lines that are none of them mean nothing to us.
/// </summary>
/// <param name="Kind">What the line is.</param>
/// <param name="Event">Name of an event; empty for others.</param>
/// <param name="Id">Which command is answered; 0 for others.</param>
/// <param name="Body">The greeting, the event's data (undefined where it has none) or the whole answer.</param>
internal readonly record struct QmpMessage(QmpMessageKind Kind, string Event, int Id, JsonElement Body)
{
    /// <exception cref="QmpException">The line is not what a monitor writes.</exception>
    internal static QmpMessage Read(ReadOnlySequence<byte> line)
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
            // InvalidOperationException: no object, or another type than a field has. FormatException: a number that is no id of ours.
            throw new QmpException($"the monitor sent a line that is no message: {e.Message}", e);
        }
    }
}
