using System.CommandLine;
using DataPlane.Transport.Tls;

namespace DataPlane.Tool.CommandLine;

/// <summary>The options of TLS, for the commands that have one end of a migration or both.</summary>
internal sealed class TlsOptions
{
    private readonly ToolOption<string?> _folder;
    private readonly ToolOption<string?>? _hostName;
    private readonly TlsEnd _end;

    private TlsOptions(TlsEnd end)
    {
        _end = end;
        string prefix = end == TlsEnd.Server ? "server" : "client";
        _folder = Options.Text(
            "--tls-dir", "DIR",
            $"all channels inside TLS, with ca-cert.pem, {prefix}-cert.pem and {prefix}-key.pem of this folder, as QEMU has them");
        _hostName = end == TlsEnd.Client
            ? Options.Text("--tls-hostname", "NAME", "name in the destination's certificate (default: the host of its address)") : null;
    }

    /// <summary>The host name as given; the host of the address counts without one.</summary>
    public string? HostName(ParseResult arguments) => _hostName is null ? null : arguments.GetValue(_hostName);

    /// <summary>The folder as given.</summary>
    public string? Folder(ParseResult arguments) => arguments.GetValue(_folder);

    /// <summary>For a destination.</summary>
    public static TlsOptions AddServerTo(Command command) => new TlsOptions(TlsEnd.Server).AddTo(command);

    /// <summary>For a source, which also checks whom it has reached.</summary>
    public static TlsOptions AddClientTo(Command command) => new TlsOptions(TlsEnd.Client).AddTo(command);

    /// <summary>The credentials of the folder; null without one. The caller disposes of them.</summary>
    /// <exception cref="CommandException">They cannot be used; the line names the file.</exception>
    public TlsCredentials? Load(ParseResult arguments)
    {
        if (Folder(arguments) is not { } folder)
            return null;
        try
        {
            return TlsCredentials.FromFolder(folder, _end);
        }
        catch (TlsCredentialsException unusable)
        {
            throw new CommandException($"--tls-dir: {unusable.Message}", innerException: unusable);
        }
    }

    private TlsOptions AddTo(Command command)
    {
        command.Options.Add(_folder);
        if (_hostName is null)
            return this;
        command.Options.Add(_hostName);
        command.Validators.Add(result =>
        {
            if (result.GetValue(_hostName) is not null && result.GetValue(_folder) is null)
                result.AddError("--tls-hostname: only with --tls-dir");
        });
        return this;
    }
}
