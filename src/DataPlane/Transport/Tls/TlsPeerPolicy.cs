namespace DataPlane;

/// <summary>
/// The rules that decide which peers one end lets in, of those that the authorities have signed or that have a shared key. Immutable. The
/// default lets in all.
/// </summary>
public sealed record TlsPeerPolicy
{
    /// <summary>
    /// Names that the peer may have; empty, the default, means any. Each is compared with the whole distinguished name of the peer's
    /// certificate (RFC 4514, in either order: <c>CN=host1,O=Example</c> or <c>O=Example,CN=host1</c>), or with its user name where keys
    /// are shared. <c>*</c> stands for any characters and <c>?</c> for one, as in the lists of QEMU's <c>tls-authz</c>. The comparison is
    /// case-sensitive.
    /// </summary>
    public IReadOnlyList<string> AllowedNames { get; init; } = [];

    /// <summary>
    /// Whether a certificate that lists its purposes (extended key usage) must list the one that it is used for, serverAuth or clientAuth.
    /// Default <see langword="false"/>, because QEMU does not ask for it.
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

    /// <summary>
    /// Whether <paramref name="pattern"/> matches all of <paramref name="name"/>. The time is at most proportional to the product of their
    /// lengths, whatever the pattern.
    /// </summary>
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
