using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace DataPlane.Tool.Output;

/// <summary>
/// The JSON document of a command: the keys that every command has. A command derives its own document with its own keys and fills it while
/// it runs, so that a command that fails still delivers what it knows.
/// </summary>
internal abstract class CommandDocument(string schema)
{
    /// <summary>Name and version of the document's form, for example <c>dataplane.bench/1</c>.</summary>
    [JsonPropertyOrder(-7)]
    public string Schema { get; } = schema;

    [JsonPropertyOrder(-6)]
    public string DataplaneVersion { get; } = ToolVersion.Current;

    /// <summary>When the command was started, UTC.</summary>
    [JsonPropertyOrder(-5)]
    public DateTimeOffset StartedAt { get; set; }

    /// <summary>The effective options, defaults included.</summary>
    [JsonPropertyOrder(-4)]
    public JsonObject Options { get; set; } = [];

    [JsonPropertyOrder(-3)]
    public HostFacts Host { get; set; } = HostFacts.Current;

    /// <summary>How the command ended.</summary>
    [JsonPropertyOrder(-2)]
    public CommandResult Result { get; set; } = CommandResult.Failed;

    /// <summary>The line that went to stderr; absent when the result is ok.</summary>
    [JsonPropertyOrder(-1)]
    public string? Error { get; set; }
}

/// <summary>How a command ended.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<CommandResult>))]
internal enum CommandResult
{
    [JsonStringEnumMemberName("failed")]
    Failed,

    [JsonStringEnumMemberName("ok")]
    Ok,

    [JsonStringEnumMemberName("interrupted")]
    Interrupted,
}
