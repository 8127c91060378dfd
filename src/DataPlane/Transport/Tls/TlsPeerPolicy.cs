namespace DataPlane.Transport.Tls;

/// <summary>
/// Whom of all those whom the authorities have signed (or who have a shared key) one end lets in. Immutable. The default lets in all.
/// </summary>
public sealed record TlsPeerPolicy
{
    /// <summary>
    /// Names that the peer may have; empty, the default, means any. Each is compared with the whole distinguished name of the peer's
    /// certificate (RFC 4514, in either order: <c>CN=host1,O=Example</c> or <c>O=Example,CN=host1</c>), or with its user name where keys
    /// are shared. <c>*</c> stands for any characters and <c>?</c> for one, as in the lists of QEMU's <c>tls-authz</c>; upper and lower
    /// case differ.
    /// </summary>
    public IReadOnlyList<string> AllowedNames { get; init; } = [];

    /// <summary>
    /// Whether a certificate that lists what it is for must list the use that is made of it (serverAuth, clientAuth). QEMU does not ask,
    /// so the default is <see langword="false"/>.
    /// </summary>
    public bool RequireExtendedKeyUsage { get; init; }

    /// <summary>Whether one of the spellings of a name is allowed. Thread-safe.</summary>
    internal bool Allows(params ReadOnlySpan<string> spellings)
    {
        if (AllowedNames.Count == 0)
        {
            return true;
        }

        foreach (var pattern in AllowedNames)
        {
            foreach (var name in spellings)
            {
                if (IsMatch(pattern, name))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Takes time proportional to the product of the lengths at most, whatever the pattern.</summary>
    internal static bool IsMatch(ReadOnlySpan<char> pattern, ReadOnlySpan<char> name)
    {
        int p = 0, n = 0, star = -1, resume = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                (star, resume) = (p++, n);
            }
            else if (p < pattern.Length && (pattern[p] == '?' || pattern[p] == name[n]))
            {
                p++;
                n++;
            }
            else if (star >= 0)
            {
                (p, n) = (star + 1, ++resume);
            }
            else
            {
                return false;
            }
        }

        return pattern[p..].TrimStart('*').IsEmpty;
    }
}
