using System.Net;

namespace DataPlane.Transport.Tls;

/// <summary>
/// The server that a client wants to reach, as a certificate names it: an IP address without its zone, which only means something on this
/// host, or a host name without the dot that ends a complete one.
/// </summary>
internal readonly record struct TlsHost
{
    /// <param name="given">The name as the user or the address has it.</param>
    /// <exception cref="ArgumentException">The name is empty, or cannot stand in a certificate.</exception>
    public TlsHost(string given)
    {
        ArgumentException.ThrowIfNullOrEmpty(given);
        var zone = given.IndexOf('%', StringComparison.Ordinal);
        var bare = zone < 0 || !given.Contains(':', StringComparison.Ordinal) ? given : given[..zone];
        IsAddress = IPAddress.TryParse(bare, out var address);
        Name = IsAddress ? address!.ToString() : bare.TrimEnd('.');
        if (Name.Length == 0 || Name.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException($"'{given}' is no name that a certificate can have.", nameof(given));
        }
    }

    public string Name { get; }

    public bool IsAddress { get; }
}
