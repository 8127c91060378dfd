using System.Buffers;
using System.Text.Json;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>Writes a VM description from which any receiver can tell where the device sections end.</summary>
internal static class DeviceDescription
{
    /// <summary>Returns a description as UTF-8 JSON, in which each section is one buffer of its size.</summary>
    public static byte[] Write(IReadOnlyList<DeviceSection> devices)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("page_size", WireLimits.PageSize);
            json.WriteStartArray("devices");
            foreach (var device in devices)
            {
                Write(json, device);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void Write(Utf8JsonWriter json, DeviceSection device)
    {
        json.WriteStartObject();
        json.WriteString("name", device.Name);
        json.WriteNumber("instance_id", device.Instance);
        json.WriteString("vmsd_name", device.Name);
        json.WriteNumber("version", device.Version);
        json.WriteStartArray("fields");
        json.WriteStartObject();
        json.WriteString("name", "data");
        json.WriteString("type", "buffer");
        json.WriteNumber("size", device.Length);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
