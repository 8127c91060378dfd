using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;
using DataPlane.Transport;

namespace DataPlane.Tool.Bench;

/// <summary>The client's end of a session with <c>serve</c>: it has legs prepared there, runs them here, and compares the memory.</summary>
internal sealed class BenchSession : IAsyncDisposable
{
    // To prepare a leg, the destination may have to populate its memory again, which takes long with small pages.
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromMinutes(5);

    private readonly ControlConnection _control;
    private readonly IPAddress _address;

    private BenchSession(ControlConnection control, IPAddress address, WelcomeMessage welcome)
    {
        _control = control;
        _address = address;
        Destination = welcome;
    }

    public WelcomeMessage Destination { get; }

    /// <exception cref="CommandException">No destination serves there, or it refuses this client.</exception>
    public static async Task<BenchSession> OpenAsync(
        string host, int port, long ramBytes, TlsCredentials? tls, string? tlsHost, TimeProvider time, CancellationToken cancellation)
    {
        var address = ChannelAddress.Tcp(host, port);
        var where = address.ToString();
        Socket? socket = null;
        ControlConnection? control = null;
        try
        {
            socket = new Socket(await ChannelDialer.ConnectSocketAsync(
                address, new ChannelOptions(), "control", 0, cancellation, time).ConfigureAwait(false));
            var reached = ((IPEndPoint)socket.RemoteEndPoint!).Address;
            control = new ControlConnection(
                await ControlTls.SecureAsync(socket, tls, tlsHost ?? host, time, cancellation).ConfigureAwait(false), where, time);
            var hello = new HelloMessage
            {
                Version = HelloMessage.CurrentVersion,
                DataplaneVersion = ToolVersion.Current,
                RamBytes = ramBytes,
            };
            await control.WriteAsync(hello, cancellation).ConfigureAwait(false);
            var welcome = await ExpectAsync<WelcomeMessage>(control, cancellation).ConfigureAwait(false);
            return new BenchSession(control, reached.IsIPv4MappedToIPv6 ? reached.MapToIPv4() : reached, welcome);
        }
        catch (Exception exception)
        {
            if (control is not null)
            {
                await control.DisposeAsync().ConfigureAwait(false);
            }

            socket?.Dispose();
            if (exception is AuthenticationException)
            {
                throw new CommandException($"no TLS with the destination at {where}: {exception.Message}", ExitCode.Failed, exception);
            }

            if (socket is null && exception is ChannelException)
            {
                throw new CommandException($"no destination at {where}: {exception.Message}", ExitCode.Failed, exception);
            }

            throw;
        }
    }

    /// <summary>Runs one leg, from the message <c>prepare</c> to the destination's result.</summary>
    /// <exception cref="CommandException">The destination refused the leg, or its half of the leg failed.</exception>
    public async Task<TSample> RunAsync<TSample>(
        IBenchLeg<TSample> leg, Workload guest, int channels, Action<ProgressSample> report, CancellationToken cancellation)
        where TSample : LegSample
    {
        var prepare = new PrepareMessage
        {
            Leg = leg.Name,
            RamBytes = guest.Block.Length,
            Channels = channels,
            Compression = leg.Compression,
            Postcopy = leg.Postcopy,
        };
        await _control.WriteAsync(prepare, cancellation).ConfigureAwait(false);
        var ready = await ExpectAsync<ReadyMessage>(_control, cancellation).ConfigureAwait(false);
        var destination = new LegDestination(_address, ready.Port, channels);
        TSample sample;
        try
        {
            sample = await leg.RunAsync(destination, guest, report, cancellation).ConfigureAwait(false);
        }
        catch (IOException exception)
        {
            // The destination often knows better why the connection ended.
            var theirs = await TryReadErrorAsync(cancellation).ConfigureAwait(false);
            throw new CommandException(
                theirs is null ? exception.Message : $"{exception.Message} (destination: {theirs})", ExitCode.Failed, exception);
        }

        var result = await ExpectAsync<ResultMessage>(_control, cancellation).ConfigureAwait(false);
        if (result.Error is { } error)
        {
            throw new CommandException($"{leg.Name}: the destination failed: {error}");
        }

        return leg.Complete(sample, result) with { DestinationCpuSeconds = result.CpuSeconds };
    }

    /// <summary>Whether every byte of the destination's memory equals the guest's. The guest must be paused.</summary>
    public async Task<bool> VerifyAsync(Workload guest, string? knownDigest, CancellationToken cancellation)
    {
        // The answer is awaited only after this side has hashed, so that both sides hash at the same time.
        await _control.WriteAsync(new DigestMessage(), cancellation).ConfigureAwait(false);
        var theirs = ExpectAsync<DigestResultMessage>(_control, cancellation);
        var ours = knownDigest ?? MemoryDigest.Compute(guest.Block);
        var answer = await theirs.ConfigureAwait(false);
        if (answer.Algorithm != MemoryDigest.Name)
        {
            throw new CommandException($"the destination verifies by '{OneLine.Of(answer.Algorithm)}', this side by {MemoryDigest.Name}");
        }

        return answer.Value == ours;
    }

    private async Task<string?> TryReadErrorAsync(CancellationToken cancellation)
    {
        try
        {
            return await _control.ReadAsync(TimeSpan.FromSeconds(2), cancellation).ConfigureAwait(false) switch
            {
                ResultMessage result => result.Error,
                ErrorMessage error => error.Message,
                _ => null,
            };
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static async Task<TMessage> ExpectAsync<TMessage>(ControlConnection control, CancellationToken cancellation)
        where TMessage : ControlMessage
    {
        return await control.ReadAsync(s_answerTimeout, cancellation).ConfigureAwait(false) switch
        {
            TMessage expected => expected,
            ErrorMessage error => throw new CommandException($"destination {control.Peer}: {OneLine.Of(error.Message)}"),
            null => throw new CommandException($"destination {control.Peer} closed the session"),
            { } other => throw new CommandException($"destination {control.Peer} answered out of turn ({other.GetType().Name})"),
        };
    }

    public ValueTask DisposeAsync() => _control.DisposeAsync();
}
