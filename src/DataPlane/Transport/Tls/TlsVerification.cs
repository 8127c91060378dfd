using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Decides what OpenSSL leaves open when it verifies a peer's certificate: as QEMU does, or more strictly (docs/transport.md has the
/// table).
/// </summary>
internal static unsafe class TlsVerification
{
    /// <summary>X509_V_FLAG_PARTIAL_CHAIN: any authority of ours is trusted, root or not.</summary>
    public const nuint TrustGiven = 0x80000;

    /// <summary>
    /// X509_V_FLAG_CRL_CHECK and X509_V_FLAG_CRL_CHECK_ALL: lists are looked for not only for the leaf, but for its authorities, too.
    /// </summary>
    public const nuint CheckRevocations = 0x4 | 0x8;

    /// <summary>
    /// X509_PURPOSE_ANY: the extended key usage is not checked. Whether a signer is an authority is checked all the same.
    /// </summary>
    public const int AnyPurpose = 7;

    private const int NoList = 3; // X509_V_ERR_UNABLE_TO_GET_CRL
    private const int NoIssuerOfList = 33; // X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER: of the list that would revoke a trusted authority

    private const nuint NameFlags = 0x1110313; // XN_FLAG_RFC2253 without ASN1_STRFLGS_ESC_MSB: UTF-8 stays
    private const nuint Reversed = 1 << 20; // XN_FLAG_DN_REV
    private const int MaxNameBytes = 64 * 1024;

    public static delegate* unmanaged[Cdecl]<int, nint, int> Callback => &Judge;

    /// <summary>Why the name in the peer's certificate is not let in; null when it is. To be called after the handshake.</summary>
    public static string? FindFault(nint session, TlsPeerPolicy policy, string peer)
    {
        if (policy.AllowedNames.Count == 0)
        {
            return null;
        }

        var certificate = OpenSsl.PeerCertificate(session);
        if (certificate == 0)
        {
            return $"{peer} showed no certificate";
        }

        var name = Describe(certificate, NameFlags);
        return policy.Allows(name, Describe(certificate, NameFlags & ~Reversed))
            ? null : $"{peer} is '{name}', which is not an allowed name";
    }

    private static string Describe(nint certificate, nuint flags)
    {
        var bio = OpenSsl.NewBio(OpenSsl.MemoryMethod());
        if (bio == 0)
        {
            throw new InsufficientMemoryException("OpenSSL gives no memory for a name.");
        }

        try
        {
            var length = OpenSsl.PrintName(bio, OpenSsl.SubjectName(certificate), 0, flags);
            if (length is <= 0 or > MaxNameBytes)
            {
                return ""; // an empty name, or one that nobody has in a list
            }

            var text = new byte[length];
            // SAFETY: as many bytes are there to be written to.
            fixed (byte* data = text)
            {
                length = OpenSsl.ReadBio(bio, data, length);
            }

            return Encoding.UTF8.GetString(text, 0, Math.Max(length, 0));
        }
        finally
        {
            _ = OpenSsl.FreeBio(bio);
        }
    }

    /// <summary>
    /// Forgives a missing revocation list, except for the peer's own certificate: only a list of the authority that signed it can tell
    /// whether that is revoked, and a file of the wrong authority would do nothing and look like protection. Authorities may be without a
    /// list, because they are few and named by hand. Every other fault stays one.
    /// </summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Judge(int isGood, nint verification)
    {
        if (isGood == 1 || OpenSsl.VerificationError(verification) is not (NoList or NoIssuerOfList)
            || OpenSsl.VerificationDepth(verification) == 0)
        {
            return isGood;
        }

        OpenSsl.SetVerificationError(verification, 0);
        return 1;
    }
}
