using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Wire;

namespace DataPlane.Tool.Postcopy;

/// <summary>Running migrations for a person.</summary>
internal static class PostcopyTable
{
    public static void Write(TextWriter output, IReadOnlyList<PostcopyStatus> migrations)
    {
        foreach (PostcopyStatus one in migrations)
        {
            string way = one.Command == "send" ? $"{one.File} -> {one.Address}" : $"{one.Address} -> {one.File}";
            string left = one.RemainingPages is { } pages ? $", {Human.Count(pages)} pages to go" : "";
            string pauses = one.Pauses == 0 ? "" : $", link lost {(one.Pauses == 1 ? "once" : $"{one.Pauses} times")}";
            string name = UntrustedText.Escape($"{one.Command}  {way}  {one.State}");
            output.WriteLine($"{name}, {Human.Bytes(one.TransferredBytes)}{left}{pauses}");
            if (one.PauseReason is { } reason)
                output.WriteLine($"  {OneLine.Of(reason)}");
            output.WriteLine($"  {UntrustedText.Escape(one.Control)} (process {one.Pid})");
        }
    }
}
