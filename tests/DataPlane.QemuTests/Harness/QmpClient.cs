using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DataPlane.QemuTests.Harness;

/// <summary>QEMU's monitor: commands with a time limit, and events in the order they came. Thread-safe.</summary>
internal sealed class QmpClient : IAsyncDisposable
{
    private readonly string _name;
    private readonly NetworkStream _stream;
    private readonly Task _pump;
    private readonly SemaphoreSlim _sending = new(1);
    private readonly TaskCompletionSource _greeting = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConcurrentDictionary<int, TaskCompletionSource<JsonElement>> _pending = new();
    private int _lastId;
    private volatile bool _ended;

    private QmpClient(Socket connection, string name)
    {
        _name = name;
        _stream = new NetworkStream(connection, ownsSocket: true);
        Events = new Journal<JsonElement>($"events of {name}");
        _pump = PumpAsync();
    }

    public Journal<JsonElement> Events { get; }

    /// <summary>Takes over a connection that QEMU has made, up to the end of the handshake.</summary>
    public static async Task<QmpClient> OpenAsync(Socket connection, string name, CancellationToken token)
    {
        var client = new QmpClient(connection, name);
        try
        {
            await client._greeting.Task.WaitAsync(Patience.Default, token);
            // Out-of-band commands are answered even while QEMU's main loop stands still; the others are not changed by it.
            await client.ExecuteAsync("qmp_capabilities", new JsonObject { ["enable"] = new JsonArray("oob") }, token);
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <exception cref="QmpException">QEMU refused the command, or is gone.</exception>
    /// <exception cref="TimeoutException">No answer within <see cref="Patience.Default"/>.</exception>
    public async Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, CancellationToken token, bool outOfBand = false, Socket? descriptor = null)
    {
        var id = Interlocked.Increment(ref _lastId);
        var reply = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
        _pending[id] = reply;
        if (_ended)
        {
            throw Gone();
        }

        var request = new JsonObject { [outOfBand ? "exec-oob" : "execute"] = command, ["id"] = id };
        if (arguments is not null)
        {
            request["arguments"] = arguments;
        }

        await _sending.WaitAsync(token);
        try
        {
            var bytes = JsonSerializer.SerializeToUtf8Bytes(request);
            if (descriptor is null)
            {
                await _stream.WriteAsync(bytes, token);
            }
            else
            {
                DescriptorPassing.Send(_stream.Socket, bytes, descriptor);
            }
        }
        catch (IOException error)
        {
            throw Gone(error);
        }
        finally
        {
            _sending.Release();
        }

        var message = await reply.Task.WaitAsync(Patience.Default, token);
        return message.TryGetProperty("error", out var refusal)
            ? throw new QmpException($"{_name}: {command}: {refusal.GetProperty("desc").GetString()}")
            : message.GetProperty("return");
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        await _pump.WaitAsync(Patience.Default);
        _sending.Dispose();
    }

    private QmpException Gone(Exception? cause = null) => new($"{_name}: the monitor's connection ended", cause);

    private async Task PumpAsync()
    {
        try
        {
            using var reader = new StreamReader(_stream, leaveOpen: true);
            while (await reader.ReadLineAsync() is { } line)
            {
                Take(JsonElement.Parse(line));
            }
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or JsonException)
        {
            // QEMU was killed, perhaps in the middle of a line, or this client disposed: an end like any other.
        }

        _ended = true; // before the pending ones are told, so that none slips in between
        Events.End();
        _greeting.TrySetException(Gone());
        foreach (var reply in _pending.Values)
        {
            reply.TrySetException(Gone());
        }
    }

    private void Take(JsonElement message)
    {
        if (message.TryGetProperty("event", out _))
        {
            Events.Add(message);
        }
        else if (message.TryGetProperty("QMP", out _))
        {
            _greeting.TrySetResult();
        }
        else if (message.TryGetProperty("id", out var id) && _pending.TryRemove(id.GetInt32(), out var reply))
        {
            reply.TrySetResult(message);
        }
    }
}
