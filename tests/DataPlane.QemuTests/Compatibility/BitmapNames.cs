using System.Text.Json.Nodes;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>Other names for the bitmap backup0 of disk0, on the wire.</summary>
internal static class BitmapNames
{
    public static (string Name, JsonNode Value) Mapping => ("block-bitmap-mapping", new JsonArray(new JsonObject
    {
        ["node-name"] = "disk0",
        ["alias"] = "d0",
        ["bitmaps"] = new JsonArray(new JsonObject { ["name"] = "backup0", ["alias"] = "b0" }),
    }));
}
