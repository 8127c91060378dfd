using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Wire;

namespace DataPlane.Tool.Postcopy;

/// <summary>Writes running migrations for a person.</summary>
internal static class PostcopyTable
{
    public static void Write(TextWriter output, IReadOnlyList<PostcopyStatus> migrations)
    {
        foreach (var one in migrations)
        {
            var way = one.Command == "send" ? $"{one.File} -> {one.Address}" : $"{one.Address} -> {one.File}";
            var left = one.RemainingPages is { } pages ? $", {Human.Count(pages)} pages to go" : "";
            var pauses = one.Pauses == 0 ? "" : $", link lost {(one.Pauses == 1 ? "once" : $"{one.Pauses} times")}";
            var name = UntrustedText.Escape($"{one.Command}  {way}  {one.State}");
            output.WriteLine($"{name}, {Human.Bytes(one.TransferredBytes)}{left}{pauses}");
            if (one.PauseReason is { } reason)
            {
                output.WriteLine($"  {OneLine.Of(reason)}");
            }

            output.WriteLine($"  {UntrustedText.Escape(one.Control)} (process {one.Pid})");
        }
    }
}
