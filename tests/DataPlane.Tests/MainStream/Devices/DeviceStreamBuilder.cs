using System.Buffers.Binary;
using System.Text;
using DataPlane.Wire;

namespace DataPlane.Tests.MainStream.Devices;

/// <summary>Builds what a source sends after the RAM: sections and the JSON that describes them, both under the test's control.</summary>
internal sealed class DeviceStreamBuilder
{
    private readonly List<byte> _sections = [];
    private readonly List<string> _devices = [];

    public byte[] Sections => [.. _sections];

    public string Json =>
        $$"""{"configuration": {"vmsd_name": "configuration"}, "page_size": 4096, "devices": [{{string.Join(", ", _devices)}}]}""";

    public byte[] Stream => [.. _sections, .. Description(Json)];

    /// <summary>A device of one buffer.</summary>
    public DeviceStreamBuilder Add(string name, byte[] body, uint id = 7, uint instance = 0, uint version = 1) =>
        Add(name, body, $$"""[{"name": "data", "type": "buffer", "size": {{body.Length}}}]""", id, instance, version);

    public DeviceStreamBuilder Add(
        string name, byte[] body, string fields, uint id = 7, uint instance = 0, uint version = 1, string subsections = "[]") =>
        AddSection(name, body, id, instance, version).Describe(
            $$"""
            {"name": "{{name}}", "instance_id": {{instance}}, "vmsd_name": "{{name}}", "version": 1,
             "fields": {{fields}}, "subsections": {{subsections}}}
            """);

    public DeviceStreamBuilder AddSection(string name, byte[] body, uint id = 7, uint instance = 0, uint version = 1)
    {
        _sections.AddRange(Section(name, body, id, instance, version));
        return this;
    }

    public DeviceStreamBuilder Describe(string device)
    {
        _devices.Add(device);
        return this;
    }

    public static byte[] Section(string name, byte[] body, uint id = 7, uint instance = 0, uint version = 1)
    {
        var header = new byte[SectionHeader.MaxSize];
        var size = SectionHeader.Write(header, SectionType.Full, id, Encoding.UTF8.GetBytes(name), instance, version);
        var footer = new byte[SectionFooter.Size];
        SectionFooter.Write(footer, id);
        return [.. header[..size], .. body, .. footer];
    }

    /// <summary>EOF byte and VMDESCRIPTION.</summary>
    public static byte[] Description(string json)
    {
        var head = new byte[6];
        head[1] = 6;
        BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(2), Encoding.UTF8.GetByteCount(json));
        return [.. head, .. Encoding.UTF8.GetBytes(json)];
    }
}
