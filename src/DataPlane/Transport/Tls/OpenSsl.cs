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

    public const int FilePem = 1;
    public const int VerifyNone = 0;
    public const int VerifyPeerAndRequire = 3; // SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    public const int Tls12 = 0x0303;
    public const int Tls13 = 0x0304;
    public const int HostNameType = 0; // TLSEXT_NAMETYPE_host_name

    public const int ControlMode = 33;
    public const int ControlSessionCache = 44;
    public const int ControlHostName = 55;
    public const int ControlMinVersion = 123;
    public const int ModePartialAndMovingWrites = 3; // SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER

    public const ulong NoTicket = 1UL << 14;
    public const ulong NoCompression = 1UL << 17;
    public const ulong NoRenegotiation = 1UL << 30;

    public const int ErrorWantRead = 2;
    public const int ErrorWantWrite = 3;
    public const int ErrorZeroReturn = 6;

    private static readonly Lazy<bool> s_isInstalled = new(() =>
        NativeLibrary.TryLoad(Ssl, out _) && NativeLibrary.TryLoad(Crypto, out _));

    /// <summary>
    /// The switch of <see cref="AppContext"/> that makes sessions use <see cref="System.Net.Security.SslStream"/> although OpenSSL 3 is
    /// installed.
    /// </summary>
    public const string AvoidSwitch = "DataPlane.Transport.Tls.UseSslStream";

    /// <summary>Whether this system has OpenSSL 3.</summary>
    public static bool IsInstalled => s_isInstalled.Value;

    /// <summary>Whether this system has OpenSSL 3, and <see cref="AvoidSwitch"/> is not set.</summary>
    public static bool IsAvailable => s_isInstalled.Value && !(AppContext.TryGetSwitch(AvoidSwitch, out var avoid) && avoid);

    [LibraryImport(Ssl, EntryPoint = "TLS_client_method")]
    public static partial nint ClientMethod();

    [LibraryImport(Ssl, EntryPoint = "TLS_server_method")]
    public static partial nint ServerMethod();

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_new")]
    public static partial nint NewContext(nint method);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_free")]
    public static partial void FreeContext(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_ctrl")]
    public static partial nint ControlContext(nint context, int command, nint number, nint pointer);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_options")]
    public static partial ulong SetOptions(nint context, ulong options);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_num_tickets")]
    public static partial int SetTickets(nint context, nuint count);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_verify")]
    public static partial void SetVerify(nint context, int mode, delegate* unmanaged[Cdecl]<int, nint, int> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_get_cert_store")]
    public static partial nint CertificateStore(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_check_private_key")]
    public static partial int CheckPrivateKey(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_ciphersuites", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetCipherSuites(nint context, string names);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_psk_server_callback")]
    public static partial void SetServerKeyCallback(nint context, delegate* unmanaged[Cdecl]<nint, nint, byte*, uint, uint> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_psk_client_callback")]
    public static partial void SetClientKeyCallback(
        nint context, delegate* unmanaged[Cdecl]<nint, nint, byte*, uint, byte*, uint, uint> callback);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_SSL_CTX")]
    public static partial nint ContextOf(nint session);

    /// <summary>The certificate of this end; 0 when it has none, as where keys are shared.</summary>
    [LibraryImport(Ssl, EntryPoint = "SSL_get_certificate")]
    public static partial nint OwnCertificate(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_get0_peer_certificate")]
    public static partial nint PeerCertificate(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_load_verify_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadVerifyFile(nint context, string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_load_client_CA_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint LoadAuthorityNames(string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_set_client_CA_list")]
    public static partial void SetAuthorityNames(nint context, nint names);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_use_certificate_chain_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int UseCertificateChain(nint context, string path);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_use_PrivateKey_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int UsePrivateKey(nint context, string path, int type);

    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_get0_param")]
    public static partial nint ContextParameters(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_new")]
    public static partial nint NewSession(nint context);

    [LibraryImport(Ssl, EntryPoint = "SSL_free")]
    public static partial void FreeSession(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_bio")]
    public static partial void SetBio(nint session, nint read, nint write);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_connect_state")]
    public static partial void SetConnectState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_set_accept_state")]
    public static partial void SetAcceptState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_ctrl", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint SetHostName(nint session, int command, nint number, string name);

    [LibraryImport(Ssl, EntryPoint = "SSL_get0_param")]
    public static partial nint SessionParameters(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_do_handshake")]
    public static partial int Handshake(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_read_ex")]
    public static partial int Read(nint session, byte* data, nuint length, nuint* done);

    [LibraryImport(Ssl, EntryPoint = "SSL_write_ex")]
    public static partial int Write(nint session, byte* data, nuint length, nuint* done);

    [LibraryImport(Ssl, EntryPoint = "SSL_shutdown")]
    public static partial int Shutdown(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_has_pending")]
    public static partial int HasPending(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_rstate_string")]
    public static partial byte* ReadState(nint session);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_error")]
    public static partial int GetError(nint session, int result);

    [LibraryImport(Ssl, EntryPoint = "SSL_get_verify_result")]
    public static partial nint VerifyResult(nint session);

    [LibraryImport(Crypto, EntryPoint = "BIO_new_bio_pair")]
    public static partial int NewBioPair(nint* first, nuint firstBytes, nint* second, nuint secondBytes);

    [LibraryImport(Crypto, EntryPoint = "BIO_free")]
    public static partial int FreeBio(nint bio);

    [LibraryImport(Crypto, EntryPoint = "BIO_nread0")]
    public static partial int PeekRead(nint bio, nint* data);

    [LibraryImport(Crypto, EntryPoint = "BIO_nread")]
    public static partial int ConfirmRead(nint bio, nint* data, int count);

    [LibraryImport(Crypto, EntryPoint = "BIO_nwrite0")]
    public static partial int PeekWrite(nint bio, nint* data);

    [LibraryImport(Crypto, EntryPoint = "BIO_nwrite")]
    public static partial int ConfirmWrite(nint bio, nint* data, int count);

    [LibraryImport(Crypto, EntryPoint = "BIO_ctrl_pending")]
    public static partial nuint Pending(nint bio);

    [LibraryImport(Crypto, EntryPoint = "BIO_ctrl_get_write_guarantee")]
    public static partial nuint WriteRoom(nint bio);

    [LibraryImport(Crypto, EntryPoint = "ERR_clear_error")]
    public static partial void ClearErrors();

    [LibraryImport(Crypto, EntryPoint = "ERR_get_error")]
    public static partial nuint TakeError();

    [LibraryImport(Crypto, EntryPoint = "ERR_reason_error_string")]
    public static partial byte* ReasonText(nuint error);

    [LibraryImport(Crypto, EntryPoint = "X509_verify_cert_error_string")]
    public static partial byte* VerifyText(nint result);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set_flags")]
    public static partial int SetVerifyFlags(nint parameters, nuint flags);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set1_host", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int ExpectHost(nint parameters, string name, nuint length);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set1_ip_asc", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int ExpectAddress(nint parameters, string address);

    [LibraryImport(Crypto, EntryPoint = "X509_VERIFY_PARAM_set_purpose")]
    public static partial int SetPurpose(nint parameters, int purpose);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_get_error")]
    public static partial int VerificationError(nint verification);

    /// <summary>The position in the chain of the certificate that has the fault; the leaf is 0.</summary>
    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_get_error_depth")]
    public static partial int VerificationDepth(nint verification);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_CTX_set_error")]
    public static partial void SetVerificationError(nint verification, int error);

    [LibraryImport(Crypto, EntryPoint = "X509_STORE_add_lookup")]
    public static partial nint AddLookup(nint store, nint method);

    [LibraryImport(Crypto, EntryPoint = "X509_LOOKUP_file")]
    public static partial nint FileLookup();

    [LibraryImport(Crypto, EntryPoint = "X509_load_crl_file", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int LoadRevocations(nint lookup, string path, int type);

    [LibraryImport(Crypto, EntryPoint = "X509_get_subject_name")]
    public static partial nint SubjectName(nint certificate);

    [LibraryImport(Crypto, EntryPoint = "X509_NAME_print_ex")]
    public static partial int PrintName(nint bio, nint name, int indent, nuint flags);

    [LibraryImport(Crypto, EntryPoint = "BIO_s_mem")]
    public static partial nint MemoryMethod();

    [LibraryImport(Crypto, EntryPoint = "BIO_new")]
    public static partial nint NewBio(nint method);

    [LibraryImport(Crypto, EntryPoint = "BIO_read")]
    public static partial int ReadBio(nint bio, byte* data, int length);
}
