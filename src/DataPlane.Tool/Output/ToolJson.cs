using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Guard;
using DataPlane.Tool.Inspect;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.Receive;
using DataPlane.Tool.Send;
using DataPlane.Tool.Serve;

namespace DataPlane.Tool.Output;

/// <summary>
/// The generated serializers of all documents. They use no reflection, so they survive trimming and start fast. A command adds its document
/// here.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    // What is read comes from other processes: null in place of a required value is an error here and not later.
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(ProgressLine))]
[JsonSerializable(typeof(BenchDocument))]
[JsonSerializable(typeof(GuardDocument))]
[JsonSerializable(typeof(GuardStatusDocument))]
[JsonSerializable(typeof(ControlAnswer))]
[JsonSerializable(typeof(InspectDocument))]
[JsonSerializable(typeof(PostcopyDocument))]
[JsonSerializable(typeof(PostcopyQuestion))]
[JsonSerializable(typeof(PostcopyAnswer))]
[JsonSerializable(typeof(ReceiveDocument))]
[JsonSerializable(typeof(SendDocument))]
[JsonSerializable(typeof(ServeDocument))]
internal sealed partial class ToolJson : JsonSerializerContext
{
    /// <summary>The serializers for documents that people and files get, which are indented.</summary>
    // They are made late, because the order of static initializers across the parts of this type is not defined.
    public static ToolJson Documents => field ??= Create(indented: true);

    /// <summary>The serializers for documents on one line each.</summary>
    public static ToolJson Lines => field ??= Create(indented: false);

    private static ToolJson Create(bool indented) => new(new JsonSerializerOptions(Default.Options)
    {
        WriteIndented = indented,
        // Every struct within a struct of a device takes two levels.
        MaxDepth = 256,
        // The documents are never pasted into HTML: a plus sign may stay a plus sign.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
