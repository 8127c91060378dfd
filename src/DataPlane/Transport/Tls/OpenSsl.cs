using System.Runtime.InteropServices;

namespace DataPlane.Transport.Tls;

/// <summary>
/// The part of the system's OpenSSL 3 that is needed: sessions that read and write memory, and do no input or output themselves. The
/// runtime's own cryptography loads the same library, so no second copy of it comes into the process.
/// </summary>
internal static unsafe partial class OpenSsl
{
    private const string Ssl = "libssl.so.3";
    private const string Crypto = "libcrypto.so.3";

    internal const int FilePem = 1;
    internal const int VerifyNone = 0;
    internal const int VerifyPeerAndRequire = 3; // SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    internal const int Tls12 = 0x0303;
    internal const int Tls13 = 0x0304;
    internal const int HostNameType = 0; // TLSEXT_NAMETYPE_host_name

    internal const int ControlMode = 33;
    internal const int ControlSessionCache = 44;
    internal const int ControlHostName = 55;
    internal const int ControlMinVersion = 123;
    internal const int ModePartialAndMovingWrites = 3; // SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER

    internal const ulong NoTicket = 1UL << 14;
    internal const ulong NoCompression = 1UL << 17;
    internal const ulong NoRenegotiation = 1UL << 30;

    internal const int ErrorWantRead = 2;
    internal const int ErrorWantWrite = 3;
    internal const int ErrorZeroReturn = 6;

    private static readonly Lazy<bool> s_isInstalled = new(() =>
        NativeLibrary.TryLoad(Ssl, out _) && NativeLibrary.TryLoad(Crypto, out _));

    /// <summary>
    /// The switch of <see cref="AppContext"/> that makes sessions use <see cref="System.Net.Security.SslStream"/> although OpenSSL 3 is
    /// installed.
    /// </summary>
    internal const string AvoidSwitch = "DataPlane.Transport.Tls.UseSslStream";

    /// <summary>Whether this system has OpenSSL 3.</summary>
    internal static bool IsInstalled => s_isInstalled.Value;

    /// <summary>Whether this system has OpenSSL 3, and <see cref="AvoidSwitch"/> is not set.</summary>
    internal static bool IsAvailable => s_isInstalled.Value && !(AppContext.TryGetSwitch(AvoidSwitch, out var avoid) && avoid);

    [LibraryImport(Ssl, EntryPoint = "TLS_client_method")]
    internal static partial nint ClientMethod();

    [LibraryImport(Ssl, EntryPoint = "TLS_server_method")]
    internal static partial nint ServerMethod();

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_new")]
    internal static partial nint NewContext(nint method);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_free")]
    internal static partial void FreeContext(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_ctrl")]
    internal static partial nint ControlContext(nint context, int command, nint number, nint pointer);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_options")]
    internal static partial ulong SetOptions(nint context, ulong options);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_num_tickets")]
    internal static partial int SetTickets(nint context, nuint count);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_verify")]
    internal static partial void SetVerify(nint context, int mode, delegate* unmanaged[Cdecl]<int, nint, int> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_get_cert_store")]
    internal static partial nint CertificateStore(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_check_private_key")]
    internal static partial int CheckPrivateKey(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_ciphersuites", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SetCipherSuites(nint context, string names);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_psk_server_callback")]
    internal static partial void SetServerKeyCallback(nint context, delegate* unmanaged[Cdecl]<nint, nint, byte*, uint, uint> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_psk_client_callback")]
    internal static partial void SetClientKeyCallback(
        nint context, delegate* unmanaged[Cdecl]<nint, nint, byte*, uint, byte*, uint, uint> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_SSL_CTX")]
    internal static partial nint ContextOf(nint session);

    /// <summary>The certificate of this end; 0 when it has none, as where keys are shared.</summary>
    [LibraryImport(Ssl, EntryPoint = "SSL_get_certificate")]
    internal static partial nint OwnCertificate(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_get0_peer_certificate")]
    internal static partial nint PeerCertificate(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_load_verify_file", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int LoadVerifyFile(nint context, string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_load_client_CA_file", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint LoadAuthorityNames(string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_client_CA_list")]
    internal static partial void SetAuthorityNames(nint context, nint names);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_use_certificate_chain_file", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int UseCertificateChain(nint context, string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_use_PrivateKey_file", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int UsePrivateKey(nint context, string path, int type);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_get0_param")]
    internal static partial nint ContextParameters(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_new")]
    internal static partial nint NewSession(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_free")]
    internal static partial void FreeSession(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_bio")]
    internal static partial void SetBio(nint session, nint read, nint write);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_connect_state")]
    internal static partial void SetConnectState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_accept_state")]
    internal static partial void SetAcceptState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_ctrl", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint SetHostName(nint session, int command, nint number, string name);

    [LibraryImport(Ssl, EntryPoint = "SSL_get0_param")]
    internal static partial nint SessionParameters(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_do_handshake")]
    internal static partial int Handshake(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_read_ex")]
    internal static partial int Read(nint session, byte* data, nuint length, nuint* done);

    [LibraryImport(Ssl, EntryPoint = "SSL_write_ex")]
    internal static partial int Write(nint session, byte* data, nuint length, nuint* done);

    [LibraryImport(Ssl, EntryPoint = "SSL_shutdown")]
    internal static partial int Shutdown(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_has_pending")]
    internal static partial int HasPending(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_rstate_string")]
    internal static partial byte* ReadState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_error")]
    internal static partial int GetError(nint session, int result);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_verify_result")]
    internal static partial nint VerifyResult(nint session);

    [LibraryImport(Crypto, EntryPoint = "BIO_new_bio_pair")]
    internal static partial int NewBioPair(nint* first, nuint firstBytes, nint* second, nuint secondBytes);

    [LibraryImport(Crypto, EntryPoint = "BIO_free")]
    internal static partial int FreeBio(nint bio);

    [LibraryImport(Crypto, EntryPoint = "BIO_nread0")]
    internal static partial int PeekRead(nint bio, nint* data);

    [LibraryImport(Crypto, EntryPoint = "BIO_nread")]
    internal static partial int ConfirmRead(nint bio, nint* data, int count);

    [LibraryImport(Crypto, EntryPoint = "BIO_nwrite0")]
    internal static partial int PeekWrite(nint bio, nint* data);

    [LibraryImport(Crypto, EntryPoint = "BIO_nwrite")]
    internal static partial int ConfirmWrite(nint bio, nint* data, int count);

    [LibraryImport(Crypto, EntryPoint = "BIO_ctrl_pending")]
    internal static partial nuint Pending(nint bio);

    [LibraryImport(Crypto, EntryPoint = "BIO_ctrl_get_write_guarantee")]
    internal static partial nuint WriteRoom(nint bio);

    [LibraryImport(Crypto, EntryPoint = "ERR_clear_error")]
    internal static partial void ClearErrors();

    [LibraryImport(Crypto, EntryPoint = "ERR_get_error")]
    internal static partial nuint TakeError();

    [LibraryImport(Crypto, EntryPoint = "ERR_reason_error_string")]
    internal static partial byte* ReasonText(nuint error);

    [LibraryImport(Crypto, EntryPoint = "X509_verify_cert_error_string")]
    internal static partial byte* VerifyText(nint result);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set_flags")]
    internal static partial int SetVerifyFlags(nint parameters, nuint flags);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set1_host", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int ExpectHost(nint parameters, string name, nuint length);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set1_ip_asc", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int ExpectAddress(nint parameters, string address);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set_purpose")]
    internal static partial int SetPurpose(nint parameters, int purpose);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_get_error")]
    internal static partial int VerificationError(nint verification);

    /// <summary>The position in the chain of the certificate that has the fault; the leaf is 0.</summary>
    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_get_error_depth")]
    internal static partial int VerificationDepth(nint verification);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_set_error")]
    internal static partial void SetVerificationError(nint verification, int error);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_add_lookup")]
    internal static partial nint AddLookup(nint store, nint method);

    [LibraryImport(Crypto, EntryPoint = "X509_LOOKUP_file")]
    internal static partial nint FileLookup();

    [LibraryImport(Crypto, EntryPoint = "X509_load_crl_file", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int LoadRevocations(nint lookup, string path, int type);

    [LibraryImport(Crypto, EntryPoint = "X509_get_subject_name")]
    internal static partial nint SubjectName(nint certificate);

    [LibraryImport(Crypto, EntryPoint = "X509_NAME_print_ex")]
    internal static partial int PrintName(nint bio, nint name, int indent, nuint flags);

    [LibraryImport(Crypto, EntryPoint = "BIO_s_mem")]
    internal static partial nint MemoryMethod();

    [LibraryImport(Crypto, EntryPoint = "BIO_new")]
    internal static partial nint NewBio(nint method);

    [LibraryImport(Crypto, EntryPoint = "BIO_read")]
    internal static partial int ReadBio(nint bio, byte* data, int length);
}
