using System.CommandLine;
using System.CommandLine.Parsing;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>
/// The TLS options of one VM: TLS ends in the guard, with the guard's credentials, or in a QEMU that no monitor can be asked about.
/// </summary>
internal sealed class VmTlsOptions
{
    private readonly ToolOption<string?> _folder = Options.Text(
        "--tls-dir", "DIR",
        "end TLS here, with ca-cert.pem, server-cert.pem and server-key.pem of this folder (QEMU's layout); "
        + "sources must have a certificate of that CA");

    private readonly ToolOption<string?> _certificate = Options.Text(
        "--tls-cert", "FILE", "the same with single PEM files: the guard's certificate");

    private readonly ToolOption<string?> _key = Options.Text("--tls-key", "FILE", "its private key");

    private readonly ToolOption<string?> _authority = Options.Text("--tls-ca", "FILE", "who must have signed the sources' certificates");

    private readonly ToolOption<string?> _revocations =
        Options.Text("--tls-crl", "FILE", "lists of revoked certificates, beside --tls-ca");

    private readonly ToolOption<string?> _sharedKeys = Options.Text(
        "--tls-psk", "FILE", "end TLS here, with keys that the sources share, in the file that QEMU's tls-creds-psk has (keys.psk)");

    private readonly ToolOption<string[]> _allow = TlsOptions.Allow();
    private readonly ToolOption<bool> _strict = TlsOptions.StrictPurpose();

    private readonly ToolOption<bool> _passThrough =
        Options.Flag("--tls-pass-through", "QEMU has TLS credentials itself; with --to (with --qmp QEMU says so)");

    private readonly ToolOption<Duration?> _timeout =
        Options.Time("--tls-handshake-timeout", "longest time that a TLS handshake may take, at most 24h",
            new Duration(TimeSpan.FromSeconds(5)), longest: new Duration(TimeSpan.FromDays(1)));

    public IEnumerable<Option> All => [_folder, _certificate, _key, _authority, _revocations, _sharedKeys, _allow, _strict,
        _passThrough, _timeout];

    public VmTls Read(ParseResult arguments) => new(
        arguments.GetValue(_folder),
        arguments.GetValue(_certificate),
        arguments.GetValue(_key),
        arguments.GetValue(_authority),
        arguments.GetValue(_passThrough),
        arguments.GetValue(_timeout)!.Value.Value)
    {
        Revocations = arguments.GetValue(_revocations),
        SharedKeys = arguments.GetValue(_sharedKeys),
        Policy = new TlsPeerPolicy
        {
            AllowedNames = arguments.GetValue(_allow) ?? [],
            RequireExtendedKeyUsage = arguments.GetValue(_strict),
        },
    };

    public string? FindFault(CommandResult result, bool hasQmp)
    {
        var hasFolder = result.GetResult(_folder) is not null;
        var files = ((ToolOption<string?>[])[_certificate, _key, _authority]).Count(option => result.GetResult(option) is not null);
        if (hasFolder && files > 0)
        {
            return "--tls-dir names the files already: --tls-cert, --tls-key and --tls-ca do not go with it";
        }

        if (files is 1 or 2)
        {
            return "--tls-cert, --tls-key and --tls-ca belong together";
        }

        var hasKeys = result.GetValue(_sharedKeys) is not null;
        if (hasKeys && (hasFolder || files > 0))
        {
            return "--tls-psk and certificates (--tls-dir, --tls-cert) exclude each other";
        }

        if (result.GetValue(_revocations) is not null && files == 0)
        {
            return "--tls-crl goes with --tls-ca; --tls-dir has its lists in ca-crl.pem";
        }

        if (result.GetValue(_strict) && !hasFolder && files == 0)
        {
            return "--tls-strict-eku: only with --tls-dir or --tls-cert";
        }

        if (result.GetValue(_allow) is { Length: > 0 } && !hasFolder && files == 0 && !hasKeys)
        {
            return "--tls-allow: only where TLS ends here, with --tls-dir, --tls-cert or --tls-psk";
        }

        if (result.GetValue(_passThrough) && hasQmp)
        {
            return "--tls-pass-through goes with --to: with --qmp QEMU tells it";
        }

        if (result.GetValue(_passThrough) && (hasFolder || files > 0 || hasKeys))
        {
            return "TLS ends in QEMU (--tls-pass-through) or here (--tls-dir, --tls-cert): choose one";
        }

        return result.GetValue(_timeout) is { Value.Ticks: <= 0 } ? "--tls-handshake-timeout: must be more than zero" : null;
    }
}
