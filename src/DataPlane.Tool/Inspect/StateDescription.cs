using System.Text.Json;

namespace DataPlane.Tool.Inspect;

/// <summary>Reads the VM description of a saved VM as a tree of fields, matched with its device sections.</summary>
internal static class StateDescription
{
    /// <summary>The most levels that are read. QEMU's deepest structs have about twenty; what is deeper is left out.</summary>
    private const int MaxLevels = 60;

    /// <summary>The devices in the order of their sections. A device has no fields where the description does not mention it.</summary>
    public static IReadOnlyList<InspectedDevice> Read(DeviceState state)
    {
        Dictionary<(string, long), DescribedStruct> described = [];
        using (var json = JsonDocument.Parse(state.Description, new JsonDocumentOptions { MaxDepth = 256 }))
        {
            foreach (var device in Elements(json.RootElement, "devices"))
            {
                described[(Text(device, "name") ?? "", Number(device, "instance_id") ?? 0)] = ReadStruct(device, 1);
            }
        }

        return [.. state.Devices.Select(device => new InspectedDevice(
            device.Name, device.Instance, device.Version, device.Length, described.GetValueOrDefault((device.Name, device.Instance))))];
    }

    private static DescribedStruct ReadStruct(JsonElement element, int level) => new(
        Text(element, "vmsd_name"),
        Number(element, "version"),
        [.. Elements(element, "fields").Select(field => ReadField(field, level))],
        element.TryGetProperty("subsections", out _) && level < MaxLevels
            ? [.. Elements(element, "subsections").Select(subsection => ReadStruct(subsection, level + 1))]
            : null);

    private static DescribedField ReadField(JsonElement field, int level) => new(
        Text(field, "name") ?? "",
        Text(field, "type"),
        Number(field, "size") ?? 0,
        Number(field, "array_len"),
        Number(field, "index"),
        level < MaxLevels && field.TryGetProperty("struct", out var inner) && inner.ValueKind == JsonValueKind.Object
            ? ReadStruct(inner, level + 1) : null);

    private static IEnumerable<JsonElement> Elements(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var array)
            && array.ValueKind == JsonValueKind.Array
            ? array.EnumerateArray().Where(static entry => entry.ValueKind == JsonValueKind.Object)
            : [];

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static long? Number(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number
            && value.TryGetInt64(out var number) ? number : null;
}
