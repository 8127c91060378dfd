using System.Text.Json.Serialization;

namespace DataPlane.Tool.Serve;

/// <summary>Generated serializers of the control messages. Nothing in them nests deeper than a host inside a welcome.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    MaxDepth = 8)]
[JsonSerializable(typeof(ControlMessage))]
internal sealed partial class ControlJson : JsonSerializerContext;
