using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>The JSON document of <c>dataplane serve</c>.</summary>
internal sealed class ServeDocument() : CommandDocument("dataplane.serve/1")
{
    /// <summary>The address at which the server listened, with the real port.</summary>
    public string? Listen { get; set; }

    /// <summary>The number of sessions that ended, well or badly.</summary>
    public int Sessions { get; set; }

    /// <summary>The number of legs that ended without an error.</summary>
    public int CompletedLegs { get; set; }
}
