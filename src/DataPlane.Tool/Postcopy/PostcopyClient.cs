using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Postcopy;

/// <summary>Sends questions to running migrations.</summary>
internal sealed class PostcopyClient(CommandContext context)
{
    /// <summary>Sends a question to the migration at a path. The answer to <c>resume</c> may take as long as the migration needs.</summary>
    /// <returns>The answer; null when no migration listens at the path any more.</returns>
    /// <exception cref="CommandException">Something is at the path, but it gives no answer that can be understood.</exception>
    public async Task<PostcopyAnswer?> AskAsync(string path, PostcopyQuestion question)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(question, ToolJson.Lines.PostcopyQuestion), (byte)'\n'];
        TimeSpan? patience = question.Command == PostcopyQuestion.Resume ? null : ControlQuestion.Patience;
        var bytes = await ControlQuestion.AskAsync(path, line, patience, context.Time, context.Stop).ConfigureAwait(false);
        if (bytes is null)
        {
            return null;
        }

        if (bytes.Length == 0)
        {
            throw new CommandException($"{path}: the command ended before it answered");
        }

        try
        {
            var answer = JsonSerializer.Deserialize(bytes, ToolJson.Lines.PostcopyAnswer);
            if (answer?.Schema != PostcopyQuestion.CurrentSchema)
            {
                throw new CommandException($"{path}: no migration of this version answers there");
            }
            // The path that was asked counts: an answer must not send the next question elsewhere.
            return answer with { Migration = answer.Migration with { Control = path } };
        }
        catch (JsonException exception)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }

    /// <summary>Finds the running migrations of this user, or the one at a path.</summary>
    /// <exception cref="CommandException">No migration answers.</exception>
    public async Task<IReadOnlyList<PostcopyStatus>> FindAsync(string? control)
    {
        var paths = control is not null ? [Path.GetFullPath(control)]
            : ControlPaths.Find(ControlPaths.Postcopy, Environment.GetEnvironmentVariable);
        var found = new List<PostcopyStatus>();
        foreach (var path in paths)
        {
            try
            {
                var question = new PostcopyQuestion { Command = PostcopyQuestion.Status };
                if (await AskAsync(path, question).ConfigureAwait(false) is { } answer)
                {
                    found.Add(answer.Migration);
                }
            }
            catch (CommandException exception) when (control is null)
            {
                // A migration that is stuck, or that this user may not ask, must not hide the others.
                context.Warn(exception.Message);
            }
        }

        if (found.Count > 0)
        {
            return found;
        }

        throw new CommandException(control is not null ? $"no migration answers at {control}"
            : "no 'send --postcopy' or 'receive --postcopy' of this user is running");
    }

    /// <summary>Finds the one migration that a command means.</summary>
    /// <exception cref="CommandException">There is no such migration, or more than one.</exception>
    public async Task<PostcopyStatus> FindOneAsync(string? control, Func<PostcopyStatus, bool> isMeant)
    {
        var found = await FindAsync(control).ConfigureAwait(false);
        PostcopyStatus[] meant = control is null ? [.. found.Where(isMeant)] : [.. found];
        return meant switch
        {
            [var only] => only,
            [] when found is [var only] => only,
            [] => throw new CommandException($"none of {found.Count} migrations is in a state for it: see 'dataplane postcopy status'"),
            _ => throw new CommandException($"{meant.Length} migrations could be meant: say --control PATH, one of "
                + string.Join(", ", meant.Select(static one => one.Control))),
        };
    }
}
