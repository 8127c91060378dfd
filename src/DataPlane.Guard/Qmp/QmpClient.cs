using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text.Json;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// A session with QEMU's monitor: commands with a time limit, out of band where QEMU offers it, and events as they come. Thread-safe.
/// </summary>
internal sealed class QmpClient : IAsyncDisposable
{
    /// <summary>The longest line that is taken from a monitor; real ones stay below 100 KB.</summary>
    private const int MaxLineBytes = 4 << 20;

    private readonly string _name;
    private readonly NetworkStream _stream;
    private readonly TimeProvider _time;
    private readonly Action<string, JsonElement> _event;
    private readonly SemaphoreSlim _sending = new(1);
    private readonly TaskCompletionSource<JsonElement> _greeting = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConcurrentDictionary<int, TaskCompletionSource<JsonElement>> _pending = new();
    private readonly Task _pump;
    private int _lastId;
    private volatile QmpException? _end;

    private QmpClient(Socket socket, string name, TimeProvider time, Action<string, JsonElement> onEvent)
    {
        _name = name;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _time = time;
        _event = onEvent;
        _pump = Task.Run(PumpAsync);
    }

    /// <summary>The version in QEMU's greeting.</summary>
    public Version Version { get; private set; } = new();

    /// <summary>Whether commands may be sent out of band: those are answered even while the monitor answers no others.</summary>
    public bool HasOutOfBand { get; private set; }

    /// <summary>A task that completes, without failing, when the session is over.</summary>
    public Task Ended => _pump;

    /// <summary>Connects, reads the greeting and leaves the negotiation mode.</summary>
    /// <param name="address">The monitor's socket.</param>
    /// <param name="timeout">The time limit of each step.</param>
    /// <param name="time">The clock of the time limits.</param>
    /// <param name="onEvent">Called with the name and the data of each event, on the session's reader: it must not wait.</param>
    /// <param name="cancellationToken">Cancels the attempt.</param>
    /// <exception cref="QmpException">There is no monitor, or it sends no usable greeting.</exception>
    public static async Task<QmpClient> ConnectAsync(
        ChannelAddress address,
        TimeSpan timeout,
        TimeProvider time,
        Action<string, JsonElement> onEvent,
        CancellationToken cancellationToken)
    {
        var socket = await QmpDialer.ConnectAsync(address, timeout, time, cancellationToken).ConfigureAwait(false);
        var client = new QmpClient(socket, address.ToString(), time, onEvent);
        try
        {
            await client.NegotiateAsync(timeout, cancellationToken).ConfigureAwait(false);
            return client;
        }
        catch
        {
            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Sends a command and returns its answer.</summary>
    /// <param name="command">The name of the command.</param>
    /// <param name="arguments">Writes the members of the command's arguments; null when it has none.</param>
    /// <param name="timeout">
    /// The longest time for sending and for the answer together. A command that was sent cannot be taken back.
    /// </param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="outOfBand">
    /// Sends it past a monitor that stands still; only some commands may, and only with <see cref="HasOutOfBand"/>.
    /// </param>
    /// <exception cref="QmpException">QEMU refused the command, or is gone.</exception>
    /// <exception cref="TimeoutException">No answer has come in time.</exception>
    public async Task<JsonElement> ExecuteAsync(
        string command, Action<Utf8JsonWriter>? arguments, TimeSpan timeout, CancellationToken cancellationToken, bool outOfBand = false)
    {
        var id = Interlocked.Increment(ref _lastId);
        var answer = new TaskCompletionSource<JsonElement>(TaskCreationOptions.RunContinuationsAsynchronously);
        var begin = _time.GetTimestamp();
        _pending[id] = answer;
        try
        {
            if (_end is { } end)
            {
                throw end;
            }
            // A monitor that does not read fills its socket, so the wait for room has a limit too.
            await SendAsync(Format(command, arguments, id, outOfBand), cancellationToken)
                .WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
            var left = timeout - _time.GetElapsedTime(begin);
            var message = await answer.Task.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, _time, cancellationToken)
                .ConfigureAwait(false);
            return message.TryGetProperty("return", out var value) ? value
                : throw new QmpException($"{command} was refused: {Refusal(message)}");
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"the monitor {_name} has not answered {command} within {timeout.TotalSeconds:0.###} s");
        }
        finally
        {
            _pending.TryRemove(id, out _);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync().ConfigureAwait(false);
        await _pump.ConfigureAwait(false);
        _sending.Dispose();
    }

    private static byte[] Format(string command, Action<Utf8JsonWriter>? arguments, int id, bool outOfBand)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString(outOfBand ? "exec-oob" : "execute", command);
            json.WriteNumber("id", id);
            if (arguments is not null)
            {
                json.WriteStartObject("arguments");
                arguments(json);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return [.. buffer.WrittenSpan, (byte)'\n'];
    }

    private static string Refusal(JsonElement message) =>
        message.TryGetProperty("error", out var error) && QmpText.Of(error, "desc") is { } text ? text : "no reason given";

    private async Task NegotiateAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        JsonElement greeting;
        try
        {
            greeting = await _greeting.Task.WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // A monitor serves one client and keeps the next ones waiting without a greeting.
            throw new QmpException($"the monitor {_name} does not greet: another client holds it, it is no QMP socket "
                + "(a human monitor needs mode=control), or QEMU stands still");
        }

        try
        {
            var version = greeting.GetProperty("version").GetProperty("qemu");
            Version = new Version(
                version.GetProperty("major").GetInt32(), version.GetProperty("minor").GetInt32(), version.GetProperty("micro").GetInt32());
            HasOutOfBand = greeting.GetProperty("capabilities").EnumerateArray().Any(c => c.ValueEquals("oob"));
        }
        catch (Exception e) when (e is InvalidOperationException or KeyNotFoundException or FormatException or ArgumentException)
        {
            throw new QmpException($"the monitor {_name} greets with no version of QEMU: {e.Message}", e);
        }

        await ExecuteAsync("qmp_capabilities", HasOutOfBand ? EnableOutOfBand : null, timeout, cancellationToken).ConfigureAwait(false);
    }

    private static void EnableOutOfBand(Utf8JsonWriter json)
    {
        json.WriteStartArray("enable");
        json.WriteStringValue("oob");
        json.WriteEndArray();
    }

    private async Task SendAsync(byte[] line, CancellationToken cancellationToken)
    {
        await _sending.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await _stream.WriteAsync(line, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            throw Gone(e);
        }
        finally
        {
            _sending.Release();
        }
    }

    private QmpException Gone(Exception? cause) => new($"the monitor {_name} has closed the connection", cause);

    private async Task PumpAsync()
    {
        Exception? cause = null;
        var reader = PipeReader.Create(_stream, new StreamPipeReaderOptions(leaveOpen: true));
        try
        {
            while (true)
            {
                var read = await reader.ReadAsync().ConfigureAwait(false);
                var rest = read.Buffer;
                while (rest.PositionOf((byte)'\n') is { } end)
                {
                    Take(rest.Slice(0, end));
                    rest = rest.Slice(rest.GetPosition(1, end));
                }

                if (read.IsCompleted)
                {
                    break;
                }

                if (rest.Length > MaxLineBytes)
                {
                    throw new QmpException($"the monitor {_name} sent a line of more than {MaxLineBytes} bytes");
                }

                reader.AdvanceTo(rest.Start, rest.End);
            }
        }
        catch (Exception e)
        {
            cause = e; // gone, or no monitor at all: whatever it was, those who wait must hear of it
        }

        _end = Gone(cause); // set before the pending commands are told, so that none slips in between
        _greeting.TrySetException(_end);
        foreach (var answer in _pending.Values)
        {
            answer.TrySetException(_end);
        }

        await reader.CompleteAsync().ConfigureAwait(false);
    }

    private void Take(ReadOnlySequence<byte> line)
    {
        if (line.Length <= 1)
        {
            return;
        }

        var message = QmpMessage.Read(line);
        switch (message.Kind)
        {
            case QmpMessageKind.Event:
                _event(message.Event, message.Body);
                break;
            case QmpMessageKind.Greeting:
                _greeting.TrySetResult(message.Body);
                break;
            case QmpMessageKind.Answer when _pending.TryGetValue(message.Id, out var answer):
                answer.TrySetResult(message.Body);
                break;
        }
    }
}
