using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Postcopy;

/// <summary>Talks to running migrations.</summary>
internal sealed class PostcopyClient(CommandContext context)
{
    /// <summary>Says it to the migration at a path. It may take as long as the migration takes to do it.</summary>
    /// <returns>Null when nobody lives there any more.</returns>
    /// <exception cref="CommandException">Something is there, but it gives no answer that can be understood.</exception>
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
            // Where it is asked is known here: an answer may not send the next question elsewhere.
            return answer with { Migration = answer.Migration with { Control = path } };
        }
        catch (JsonException exception)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }

    /// <summary>The migrations of this user, or the one at a path.</summary>
    /// <exception cref="CommandException">There is none.</exception>
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
                // One that is stuck, or not ours to ask, must not hide the others.
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

    /// <summary>The one that is meant.</summary>
    /// <exception cref="CommandException">There is none, or more than one.</exception>
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
