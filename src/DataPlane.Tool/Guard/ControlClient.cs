using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>Asks a guard how its VMs are.</summary>
internal static class ControlClient
{
    /// <returns>Its answer; <see langword="null"/> when no guard lives at the path any more.</returns>
    /// <exception cref="CommandException">Something is there, but it gives no answer that can be understood.</exception>
    public static async Task<ControlAnswer?> AskAsync(string path, TimeProvider time, CancellationToken cancellation)
    {
        var bytes = await ControlQuestion.AskAsync(path, default, ControlQuestion.Patience, time, cancellation).ConfigureAwait(false);
        if (bytes is null)
        {
            return null;
        }

        try
        {
            var answer = JsonSerializer.Deserialize(bytes, ToolJson.Lines.ControlAnswer);
            if (answer?.Schema != ControlAnswer.CurrentSchema)
            {
                throw new CommandException($"{path}: no guard of this version answers there");
            }
            // The serializer looks at members, not at what lists hold.
            return answer.Vms.All(static vm => vm is not null && vm.Channels.All(static channel => channel is not null)) ? answer
                : throw new CommandException($"{path}: its answer has null in a list");
        }
        catch (JsonException exception)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }
}
