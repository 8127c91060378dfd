using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;

namespace DataPlane.Fuzz.Targets;

/// <summary>JSON of control connections and sockets: frames of serve, questions and answers of guard and postcopy.</summary>
internal sealed class ControlTarget : IFuzzTarget
{
    public string Reads => "JSON of control connections: messages of serve, questions and answers of postcopy and guard";

    public int MaxInputBytes => 4096;

    public long MaxAllocatedBytes => 512 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        switch (choices.Choice(4))
        {
            case 0:
                return Frames(choices.Rest);
            case 1:
                return Document(choices.Rest, ToolJson.Lines.PostcopyQuestion);
            case 2:
                return Document(choices.Rest, ToolJson.Lines.PostcopyAnswer);
            default:
                return Document(choices.Rest, ToolJson.Lines.ControlAnswer);
        }
    }

    private static bool Frames(ReadOnlySpan<byte> bytes)
    {
        using var stream = new MemoryStream(bytes.ToArray());
        var connection = new ControlConnection(stream, "fuzzer", TimeProvider.System);
        try
        {
            while (Read(connection) is { } message)
            {
                using var written = new MemoryStream();
                Wait(new ControlConnection(written, "fuzzer", TimeProvider.System).WriteAsync(message, CancellationToken.None));
                written.Position = 0;
                var again = Read(new ControlConnection(written, "fuzzer", TimeProvider.System));
                Oracle.Holds(message.Equals(again));
            }

            return true;
        }
        catch (ControlException)
        {
            return false; // declared
        }
    }

    private static ControlMessage? Read(ControlConnection connection)
    {
        var reading = connection.ReadAsync(null, CancellationToken.None);
        Wait(reading);
        return reading.GetAwaiter().GetResult();
    }

    private static void Wait(Task task)
    {
        Oracle.Holds(task.IsCompleted);
        task.GetAwaiter().GetResult();
    }

    /// <summary>What one type reads it writes so that it reads the same again.</summary>
    private static bool Document<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type)
    {
        T? document;
        try
        {
            document = JsonSerializer.Deserialize(json, type);
        }
        catch (JsonException)
        {
            return false; // declared
        }

        var written = JsonSerializer.SerializeToUtf8Bytes(document!, type);
        Oracle.Same(JsonSerializer.SerializeToUtf8Bytes(JsonSerializer.Deserialize(written, type)!, type), written, typeof(T).Name);
        return true;
    }
}
