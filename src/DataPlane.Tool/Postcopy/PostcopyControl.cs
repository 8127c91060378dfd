using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Postcopy;

/// <summary>
/// The control socket of a migration that may be in postcopy: it answers questions, and pauses and resumes the migration.
/// </summary>
internal sealed class PostcopyControl : IAsyncDisposable
{
    private const int MaxQuestionBytes = 4096;

    /// <summary>The time limit for receiving a question, and for sending an answer. Doing what is asked is not limited by it.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly ControlledMigration _migration;
    private readonly TimeProvider _time;
    private readonly ControlSocket _socket;

    private PostcopyControl(string path, ControlledMigration migration, TimeProvider time)
    {
        _migration = migration;
        _time = time;
        _socket = ControlSocket.Open(path, "command", AnswerAsync);
    }

    public string Path => _socket.Path;

    /// <summary>Opens the socket at the path that the command was given, or else at its own path in the runtime folder.</summary>
    /// <returns>The socket; null, after a warning, where the command's own path cannot be used.</returns>
    /// <exception cref="CommandException">The path that was given cannot be used.</exception>
    public static PostcopyControl? Open(string? told, ControlledMigration migration, CommandContext context)
    {
        var path = told ?? ControlPaths.Own(ControlPaths.Postcopy, Environment.GetEnvironmentVariable);
        try
        {
            return new PostcopyControl(path, migration, context.Time);
        }
        catch (CommandException exception) when (told is null)
        {
            context.Warn($"'dataplane postcopy' will not find this command: {exception.Message}");
            return null;
        }
    }

    private async Task AnswerAsync(Socket client, CancellationToken stop)
    {
        string? error;
        try
        {
            error = await ObeyAsync(await ReadAsync(client, stop).ConfigureAwait(false), stop).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is JsonException or InvalidDataException)
        {
            error = OneLine.Of(exception.Message);
        }

        var answer = new PostcopyAnswer { Migration = _migration.Status(Path), Error = error };
        var bytes = JsonSerializer.SerializeToUtf8Bytes(answer, ToolJson.Lines.PostcopyAnswer);
        using var deadline = Deadline(stop);
        await ControlSocket.SendAsync(client, bytes, deadline.Token).ConfigureAwait(false);
    }

    private async Task<string?> ObeyAsync(PostcopyQuestion question, CancellationToken stop)
    {
        ChannelAddress? address = null;
        if (question.Address is { } text && !ChannelAddress.TryParse(text, out address, out var wrong))
        {
            return wrong;
        }

        return question.Command switch
        {
            PostcopyQuestion.Status => null,
            PostcopyQuestion.Pause => await _migration.PauseAsync(_time, stop).ConfigureAwait(false),
            PostcopyQuestion.Resume => await _migration.ResumeAsync(address, stop).ConfigureAwait(false),
            _ => $"'{OneLine.Of(question.Command)}' is none of status, pause and resume",
        };
    }

    /// <summary>Reads a question, which is one line of JSON.</summary>
    private async Task<PostcopyQuestion> ReadAsync(Socket client, CancellationToken stop)
    {
        using var deadline = Deadline(stop);
        var buffer = new byte[MaxQuestionBytes];
        var length = 0;
        while (buffer.AsSpan(0, length).IndexOf((byte)'\n') < 0)
        {
            var read = await client.ReceiveAsync(buffer.AsMemory(length), SocketFlags.None, deadline.Token).ConfigureAwait(false);
            length += read;
            if (read == 0 || length == buffer.Length)
            {
                throw new InvalidDataException("a line of JSON was expected");
            }
        }

        var end = buffer.AsSpan(0, length).IndexOf((byte)'\n');
        var question = JsonSerializer.Deserialize(buffer.AsSpan(0, end), ToolJson.Lines.PostcopyQuestion);
        return question?.Schema == PostcopyQuestion.CurrentSchema ? question
            : throw new InvalidDataException($"the schema is not {PostcopyQuestion.CurrentSchema}");
    }

    private CancellationTokenSource Deadline(CancellationToken stop)
    {
        var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(s_patience);
        return deadline;
    }

    public ValueTask DisposeAsync() => _socket.DisposeAsync();
}
