using System.Text.Json;
using System.Text.Json.Serialization;

namespace DataPlane.Tool.Output;

/// <summary>
/// The generated serializers of all documents: no reflection, so it survives trimming and starts fast. A command adds its document here.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    WriteIndented = true)]
[JsonSerializable(typeof(ProgressLine))]
internal sealed partial class ToolJson : JsonSerializerContext
{
    /// <summary>The same documents on one line each.</summary>
    // Lazy: the order of static initializers across the parts of this type is not defined.
    public static ToolJson Lines => field ??= new ToolJson(new JsonSerializerOptions(Default.Options) { WriteIndented = false });
}
