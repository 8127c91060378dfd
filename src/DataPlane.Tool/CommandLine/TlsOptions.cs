using System.CommandLine;

namespace DataPlane.Tool.CommandLine;

/// <summary>The TLS options of a command that has one end of a migration, or both.</summary>
internal sealed class TlsOptions
{
    private readonly ToolOption<string?> _folder;

    private readonly ToolOption<string?> _sharedKeys = Options.Text(
        "--tls-psk", "FILE",
        "all channels inside TLS 1.3 with keys that both ends share, in the file that QEMU's tls-creds-psk has (keys.psk)");

    private readonly ToolOption<bool> _strict = StrictPurpose();
    private readonly ToolOption<string?>? _hostName;
    private readonly ToolOption<string?>? _user;
    private readonly ToolOption<string[]>? _allow;
    private readonly TlsEnd _end;

    private TlsOptions(TlsEnd end)
    {
        _end = end;
        var prefix = end == TlsEnd.Server ? "server" : "client";
        _folder = Options.Text(
            "--tls-dir", "DIR",
            $"all channels inside TLS, with ca-cert.pem, {prefix}-cert.pem, {prefix}-key.pem "
                + "and ca-crl.pem of this folder, as QEMU has them");
        if (end == TlsEnd.Server)
        {
            _allow = Allow();
            return;
        }

        _hostName = Options.Text("--tls-hostname", "NAME", "name in the destination's certificate (default: the host of its address)");
        _user = Options.Text("--tls-psk-user", "NAME", "whose key of the file of --tls-psk is used (default: qemu)");
    }

    /// <summary>The options for a server that uses the same files as this end.</summary>
    public IReadOnlyList<string> ForServer(ParseResult arguments) => Folder(arguments) is { } folder ? ["--tls-dir", folder]
        : SharedKeys(arguments) is { } keys ? ["--tls-psk", keys] : [];

    /// <summary>The host name as given; null for the host of the address.</summary>
    public string? HostName(ParseResult arguments) => _hostName is null ? null : arguments.GetValue(_hostName);

    /// <summary>The folder of certificates as given; null without one.</summary>
    public string? Folder(ParseResult arguments) => arguments.GetValue(_folder);

    /// <summary>The file of shared keys as given; null without one.</summary>
    public string? SharedKeys(ParseResult arguments) => arguments.GetValue(_sharedKeys);

    /// <summary>Adds the TLS options of a destination.</summary>
    public static TlsOptions AddServerTo(Command command) => new TlsOptions(TlsEnd.Server).AddTo(command);

    /// <summary>Adds the TLS options of a source, which also checks whom it has reached.</summary>
    public static TlsOptions AddClientTo(Command command) => new TlsOptions(TlsEnd.Client).AddTo(command);

    /// <summary>Makes the option that lets in only sources of certain names, for every end that accepts TLS.</summary>
    public static ToolOption<string[]> Allow() => Options.Texts(
        "--tls-allow", "NAME",
        "let in only sources of this name (repeat it): the whole distinguished name of the certificate, or the user of --tls-psk; "
        + "* and ? are wildcards");

    /// <summary>Makes the option that checks the purpose of certificates strictly, for every end that checks certificates.</summary>
    public static ToolOption<bool> StrictPurpose() => Options.Flag(
        "--tls-strict-eku", "refuse certificates whose extended key usage names another use; QEMU does not look at it");

    /// <summary>
    /// Loads the credentials of the folder or file; null without one. The caller disposes of them. A key that everybody can read causes a
    /// warning.
    /// </summary>
    /// <exception cref="CommandException">The credentials cannot be used; the message names the file.</exception>
    public TlsCredentials? Load(ParseResult arguments, CommandContext context)
    {
        var credentials = Read(arguments);
        if (credentials?.KeyWarning is { } warning)
        {
            context.Warn(warning);
        }

        return credentials;
    }

    private TlsCredentials? Read(ParseResult arguments)
    {
        TlsPeerPolicy policy = new()
        {
            AllowedNames = _allow is null ? [] : arguments.GetValue(_allow) ?? [],
            RequireExtendedKeyUsage = arguments.GetValue(_strict),
        };
        var option = Folder(arguments) is not null ? "--tls-dir" : "--tls-psk";
        try
        {
            return Folder(arguments) is { } folder ? TlsCredentials.FromFolder(folder, _end, policy)
                : SharedKeys(arguments) is { } keys
                    ? TlsCredentials.FromSharedKeys(keys, _end, _user is null ? null : arguments.GetValue(_user), policy)
                : null;
        }
        catch (TlsCredentialsException unusable)
        {
            throw new CommandException($"{option}: {unusable.Message}", innerException: unusable);
        }
    }

    private TlsOptions AddTo(Command command)
    {
        command.Options.Add(_folder);
        command.Options.Add(_sharedKeys);
        command.Options.Add(_strict);
        foreach (var option in (ReadOnlySpan<Option?>)[_allow, _hostName, _user])
        {
            if (option is not null)
            {
                command.Options.Add(option);
            }
        }

        command.Validators.Add(result =>
        {
            var hasFolder = result.GetValue(_folder) is not null;
            var hasKeys = result.GetValue(_sharedKeys) is not null;
            if (hasFolder && hasKeys)
            {
                result.AddError("--tls-dir and --tls-psk exclude each other: certificates or shared keys");
            }

            if (_hostName is not null && result.GetValue(_hostName) is not null && !hasFolder)
            {
                result.AddError("--tls-hostname: only with --tls-dir");
            }

            if (_user is not null && result.GetValue(_user) is not null && !hasKeys)
            {
                result.AddError("--tls-psk-user: only with --tls-psk");
            }

            if (result.GetValue(_strict) && !hasFolder)
            {
                result.AddError("--tls-strict-eku: only with --tls-dir");
            }

            if (_allow is not null && result.GetValue(_allow) is { Length: > 0 } && !hasFolder && !hasKeys)
            {
                result.AddError("--tls-allow: only with --tls-dir or --tls-psk");
            }
        });
        return this;
    }
}
