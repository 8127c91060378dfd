using System.Text.Json;

namespace DataPlane.QemuTests.Harness;

/// <summary>How `dataplane send` has ended: exit code, standard output, standard error, JSON text.</summary>
internal sealed record SendResult(int ExitCode, IReadOnlyList<string> Output, IReadOnlyList<string> Errors, string? JsonText)
{
    /// <summary>The JSON document, which must be complete whatever has happened.</summary>
    public JsonElement Json => JsonElement.Parse(JsonText ?? throw new FileNotFoundException("send has written no JSON"));

    public override string ToString() => $"exit {ExitCode}\n  {string.Join("\n  ", Errors.Concat(Output))}\n  {JsonText}";
}
