namespace DataPlane.Tool.Guard;

/// <summary>The TLS settings of a VM. The files are read when its guard begins, so that renewed ones count from then on.</summary>
internal sealed record VmTls(string? Folder, string? Certificate, string? Key, string? Authority, bool PassThrough,
    TimeSpan HandshakeTimeout)
{
    /// <summary>Lists of revoked certificates, beside <see cref="Certificate"/>.</summary>
    public string? Revocations { get; init; }

    /// <summary>The file of keys that guard and sources share.</summary>
    public string? SharedKeys { get; init; }

    /// <summary>The rule that decides which sources with a good certificate or key are let in.</summary>
    public TlsPeerPolicy Policy { get; init; } = new();

    /// <summary>Whether TLS ends in the guard.</summary>
    public bool EndsHere => Folder is not null || Certificate is not null || SharedKeys is not null;

    /// <summary>Loads the guard's credentials; null where TLS does not end in the guard.</summary>
    /// <exception cref="TlsCredentialsException">The credentials cannot be used.</exception>
    public TlsCredentials? Load() => Folder is not null ? TlsCredentials.FromFolder(Folder, TlsEnd.Server, Policy)
        : Certificate is not null ? TlsCredentials.FromFiles(Certificate, Key, Authority, TlsEnd.Server, Revocations, Policy)
        : SharedKeys is not null ? TlsCredentials.FromSharedKeys(SharedKeys, TlsEnd.Server, policy: Policy)
        : null;
}
