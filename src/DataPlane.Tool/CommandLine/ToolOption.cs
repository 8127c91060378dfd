using System.CommandLine;
using System.Text.Json.Nodes;

namespace DataPlane.Tool.CommandLine;

/// <summary>An option that knows how it is recorded under <c>options</c> of the JSON document.</summary>
internal interface IRecordedOption
{
    /// <summary>Adds the effective value (given or default) under a key that names its unit; nothing when it has no value.</summary>
    void Record(ParseResult result, JsonObject options);
}

/// <summary>An option with its JSON form: <c>--max-downtime 300ms</c> is recorded as <c>"max_downtime_seconds": 0.3</c>.</summary>
internal sealed class ToolOption<T> : Option<T>, IRecordedOption
{
    private readonly string _key;
    private readonly Func<T, JsonNode?> _toJson;

    public ToolOption(string name, string keySuffix, Func<T, JsonNode?> toJson)
        : base(name)
    {
        _key = name.TrimStart('-').Replace('-', '_') + keySuffix;
        _toJson = toJson;
    }

    public void Record(ParseResult result, JsonObject options)
    {
        if (result.GetValue(this) is { } value && _toJson(value) is { } node)
        {
            options[_key] = node;
        }
    }
}
