using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>The JSON document of <c>dataplane serve</c>.</summary>
internal sealed class ServeDocument() : CommandDocument("dataplane.serve/1")
{
    /// <summary>Where it listened, with the real port.</summary>
    public string? Listen { get; set; }

    /// <summary>Sessions that ended, well or badly.</summary>
    public int Sessions { get; set; }

    /// <summary>Legs that ended without an error.</summary>
    public int CompletedLegs { get; set; }
}
