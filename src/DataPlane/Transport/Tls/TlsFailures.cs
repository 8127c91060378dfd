using System.Runtime.InteropServices;

namespace DataPlane.Transport.Tls;

/// <summary>Describes what OpenSSL has found, in one line from the point of view of this side.</summary>
internal static class TlsFailures
{
    private const int AlertBase = 1000; // SSL_AD_REASON_OFFSET: reasons above it are alerts of the peer
    private const int VerifyFailed = 134;
    private const int HttpRequest = 156;
    private const int LengthTooLong = 198;
    private const int NoCertificate = 199;
    private const int NoSuitableSignature = 118;
    private const int NoSharedCipher = 193;
    private const int KeyNotFound = 223;
    private const int BinderWrong = 253;
    private const int UnsupportedProtocol = 258;
    private const int WrongVersion = 267;

    private const int IssuerUnknown = 2;
    private const int NoList = 3;
    private const int NotYetValid = 9;
    private const int Expired = 10;
    private const int SelfSigned = 18;
    private const int SelfSignedInChain = 19;
    private const int IssuerNotHere = 20;
    private const int LeafNotVerified = 21;
    private const int BadListSignature = 8;
    private const int ListNotYetValid = 11;
    private const int ListExpired = 12;
    private const int Revoked = 23;
    private const int WrongPurpose = 26;
    private const int WrongHost = 62;
    private const int WrongAddress = 64;

    /// <summary>Describes the first of this thread's errors in OpenSSL's queue, and empties the queue.</summary>
    /// <param name="session">The session that failed.</param>
    /// <param name="host">The host that a client wanted to reach; null for a server.</param>
    public static string Take(nint session, string? host)
    {
        var first = OpenSsl.TakeError();
        OpenSsl.ClearErrors();
        var reason = (int)(first & 0x7FFFFF);
        var peer = host is null ? "the client" : "the server";
        return reason switch
        {
            VerifyFailed => DescribeVerification((int)OpenSsl.VerifyResult(session), peer, host),
            NoCertificate => $"{peer} showed no certificate: it has none that our authority signed",
            WrongVersion or HttpRequest or LengthTooLong => $"{peer} does not speak TLS",
            UnsupportedProtocol => $"{peer} offers no version of TLS from 1.2 on",
            BinderWrong => $"{peer} has another key than ours for its user",
            KeyNotFound or NoSuitableSignature or NoSharedCipher when OpenSsl.OwnCertificate(session) == 0
                => $"{peer} shares no key with us: it names no user that we have and let in, or shows a certificate instead",
            > AlertBase => DescribeAlert(reason - AlertBase, peer),
            _ => $"TLS failed: {Text(first)}",
        };
    }

    private static string DescribeVerification(int result, string peer, string? host) => result switch
    {
        IssuerUnknown or SelfSigned or SelfSignedInChain or IssuerNotHere or LeafNotVerified
            => $"{peer}'s certificate was not signed by our authority",
        Expired => $"{peer}'s certificate has expired",
        NotYetValid => $"{peer}'s certificate is not valid yet",
        Revoked => $"{peer}'s certificate has been revoked",
        NoList => $"{peer}'s certificate cannot be trusted: no revocation list of ours is by the authority that signed it",
        ListExpired => $"{peer}'s certificate cannot be trusted: a revocation list of ours for it has expired",
        ListNotYetValid => $"{peer}'s certificate cannot be trusted: a revocation list of ours for it is not valid yet",
        BadListSignature => $"{peer}'s certificate cannot be trusted: a revocation list of ours was not signed by the authority it names",
        WrongPurpose => $"{peer}'s certificate is for another purpose (extended key usage)",
        WrongHost or WrongAddress => $"{peer}'s certificate is not for '{host}'",
        _ => $"{peer}'s certificate is not valid: {Marshal.PtrToStringUTF8(VerifyText(result))}",
    };

    /// <summary>
    /// Describes an alert by its number of RFC 8446 section 6. Those that concern certificates, keys and versions have words; the others
    /// are rare and have the number only.
    /// </summary>
    private static string DescribeAlert(int alert, string peer) => alert switch
    {
        42 or 43 or 46 => $"{peer} refused our certificate",
        44 => $"{peer} refused our certificate: it has been revoked",
        45 => $"{peer} refused our certificate: it has expired",
        48 => $"{peer} refused our certificate: it does not know the authority that signed it",
        116 => $"{peer} demands a certificate, and we have none",
        51 => $"{peer} refused our key (decrypt error): it has another one for our user",
        115 => $"{peer} does not know our user, or shares no keys",
        70 => $"{peer} has no version of TLS in common with us",
        40 => $"{peer} broke the TLS handshake off",
        _ => $"{peer} ended TLS with alert {alert}",
    };

    private static unsafe string Text(nuint error) => Marshal.PtrToStringUTF8((nint)OpenSsl.ReasonText(error)) ?? $"error {error:x}";

    private static unsafe nint VerifyText(int result) => (nint)OpenSsl.VerifyText(result);
}
