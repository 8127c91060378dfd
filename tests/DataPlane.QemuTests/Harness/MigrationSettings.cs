using System.Text.Json.Nodes;

namespace DataPlane.QemuTests.Harness;

/// <summary>Capabilities and parameters of one side of a migration.</summary>
internal sealed record MigrationSettings
{
    /// <summary>multifd channels, 0 for none.</summary>
    public int Channels { get; init; }

    public bool ReturnPath { get; init; }

    public bool MappedRam { get; init; }

    /// <summary>Bytes per second; 0 for as fast as it goes.</summary>
    public long MaxBandwidth { get; init; }

    /// <summary>Further capabilities to switch on.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <summary>Further parameters, as QMP names them.</summary>
    public IReadOnlyList<(string Name, JsonNode Value)> Parameters { get; init; } = [];

    public JsonObject CapabilityArguments()
    {
        // `events` makes QEMU report the migration's states by itself.
        List<string> names = ["events", .. Capabilities];
        if (Channels > 0)
        {
            names.Add("multifd");
        }

        if (ReturnPath)
        {
            names.Add("return-path");
        }

        if (MappedRam)
        {
            names.Add("mapped-ram");
        }

        return new JsonObject
        {
            ["capabilities"] = new JsonArray(
                [.. names.Select(name => (JsonNode)new JsonObject { ["capability"] = name, ["state"] = true })]),
        };
    }

    public JsonObject ParameterArguments()
    {
        // 0 means "no limit" to QEMU from 8.0 on; 7.2 takes any number.
        var arguments = new JsonObject { ["max-bandwidth"] = MaxBandwidth > 0 ? MaxBandwidth : 1L << 40 };
        if (Channels > 0)
        {
            arguments["multifd-channels"] = Channels;
        }

        foreach (var (name, value) in Parameters)
        {
            arguments[name] = value.DeepClone();
        }

        return arguments;
    }
}
