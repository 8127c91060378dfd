using System.Text.Json;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Guard;

/// <summary>Asks a guard for the state of its VMs.</summary>
internal static class ControlClient
{
    /// <returns>The guard's answer; null when no guard listens at the path any more.</returns>
    /// <exception cref="CommandException">Something is at the path, but it gives no answer that can be understood.</exception>
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
            // The serializer refuses null in members, but not in the elements of lists.
            return answer.Vms.All(static vm => vm is not null && vm.Channels.All(static channel => channel is not null)) ? answer
                : throw new CommandException($"{path}: its answer has null in a list");
        }
        catch (JsonException exception)
        {
            throw new CommandException($"{path}: {exception.Message}", innerException: exception);
        }
    }
}
