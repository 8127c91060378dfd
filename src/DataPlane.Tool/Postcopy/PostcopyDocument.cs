using DataPlane.Tool.Output;

namespace DataPlane.Tool.Postcopy;

/// <summary>The JSON document of <c>dataplane postcopy</c>.</summary>
internal sealed class PostcopyDocument() : CommandDocument("dataplane.postcopy/1")
{
    /// <summary>The migrations that answered; after <c>pause</c> and <c>resume</c> the one that was meant, in its new state.</summary>
    public IReadOnlyList<PostcopyStatus> Migrations { get; set; } = [];
}
