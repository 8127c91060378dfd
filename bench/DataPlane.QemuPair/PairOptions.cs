using System.Text.Json.Nodes;

namespace DataPlane.QemuPair;

/// <summary>What all legs of a pair have in common, and the levels, which they have not.</summary>
internal sealed record PairOptions
{
    public required string Qemu { get; init; }

    public required int RamMiB { get; init; }

    public required int Channels { get; init; }

    /// <summary>All channels of all legs inside TLS.</summary>
    public required bool Tls { get; init; }

    /// <summary>none, zlib or zstd.</summary>
    public required string Compression { get; init; }

    /// <summary>QEMU's level; its default is 1.</summary>
    public required int? Level { get; init; }

    /// <summary>The level of `dataplane bench`; null for its default.</summary>
    public required int? OurLevel { get; init; }

    /// <summary>Mixed memory instead of random bytes.</summary>
    public required bool Mixed { get; init; }

    public bool IsCompressed => Compression != "none";

    /// <summary>QEMU's migration parameters, of either side.</summary>
    public IReadOnlyList<(string Name, JsonNode Value)> Parameters
    {
        get
        {
            List<(string, JsonNode)> parameters = [];
            if (IsCompressed)
            {
                parameters.Add(("multifd-compression", Compression));
            }

            if (Level is { } level)
            {
                parameters.Add(($"multifd-{Compression}-level", level));
            }

            return parameters;
        }
    }
}
