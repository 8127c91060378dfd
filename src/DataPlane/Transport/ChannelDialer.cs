using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>Connects channels. The result is a blocking socket that the runtime's epoll thread has never seen.</summary>
internal static class ChannelDialer
{
    /// <summary>The number of addresses that an error message names one by one.</summary>
    private const int MaxNamedAddresses = 8;

    /// <summary>
    /// Connects to <paramref name="address"/>, trying the addresses of its host concurrently (<see cref="ConnectRace"/>) until
    /// <see cref="ChannelOptions.ConnectTimeout"/> has passed. A Unix listener whose backlog is full is tried again until then.
    /// </summary>
    /// <param name="address">The address to connect to; without a host it is this machine.</param>
    /// <param name="options">Socket options, local addresses and the time limit.</param>
    /// <param name="id">Which channel it becomes.</param>
    /// <param name="index">Number of the channel, which selects the local address.</param>
    /// <param name="pool">Blocks for the channel's streams.</param>
    /// <param name="cancellationToken">Ends the attempt; the socket is closed before the task ends.</param>
    /// <param name="time">Clock of the time limit; the system's by default.</param>
    /// <param name="tls">Puts the channel inside TLS; its handshake has a time limit of its own.</param>
    /// <param name="route">Knows which address of the host has answered before, and is told which one answers now.</param>
    /// <exception cref="ChannelException">
    /// No address could be reached, or the handshake failed; the message names the address and the reason.
    /// </exception>
    public static async Task<Channel> ConnectAsync(
        ChannelAddress address,
        ChannelOptions options,
        ChannelId id,
        int index,
        BlockPool pool,
        CancellationToken cancellationToken,
        TimeProvider? time = null,
        TlsDial? tls = null,
        HostRoute? route = null)
    {
        var socket =
            await ConnectSocketAsync(address, options, id.ToString(), index, cancellationToken, time, route).ConfigureAwait(false);
        return tls is null ? new Channel(socket, id, address.ToString(), pool, time)
            : await tls.SecureAsync(socket, id, address.ToString(), pool, time ?? TimeProvider.System, cancellationToken)
                .ConfigureAwait(false);
    }

    /// <summary>
    /// Connects as <see cref="ConnectAsync"/> does, and returns the blocking socket before it becomes a channel, or something else that
    /// <paramref name="name"/> names in messages. The other parameters and the exceptions are those of <see cref="ConnectAsync"/>.
    /// </summary>
    public static async Task<SafeSocketHandle> ConnectSocketAsync(
        ChannelAddress address,
        ChannelOptions options,
        string name,
        int index,
        CancellationToken cancellationToken,
        TimeProvider? time = null,
        HostRoute? route = null)
    {
        time ??= TimeProvider.System;
        using var deadline = new CancellationTokenSource(options.ConnectTimeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        ConnectRace? race = null;
        try
        {
            var remotes = route?.Find(address) is { } known ? [known]
                : await ResolveAsync(address, options, name, linked.Token).ConfigureAwait(false);
            race = new ConnectRace(
                remotes, remote => new ConnectAttempt(remote, LocalFor(remote, options, index), options), time, linked.Token);
            if (await race.RunAsync().ConfigureAwait(false) is not var (reached, socket))
            {
                throw Failed(address, name, race.Failures);
            }

            route?.Keep(address, reached);
            return socket;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ChannelException(
                name, ChannelEnd.TimedOut,
                $"cannot connect to {address} within {options.ConnectTimeout.TotalSeconds:0.###} s{InBrackets(address, race?.Failures)}",
                Errno.ETIMEDOUT);
        }
        finally
        {
            if (race is not null)
            {
                await race.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>
    /// The error when no address could be reached. It names each address and its reason, unless <paramref name="address"/> itself is the
    /// only one.
    /// </summary>
    private static ChannelException Failed(ChannelAddress address, string name, IReadOnlyList<ConnectFailure> failures)
    {
        if (failures.Count == 0)
        {
            return new ChannelException(name, ChannelEnd.Failed, 0, $"'{address.Host}' has no address");
        }

        var last = failures[^1];
        var reason = SaysItsAddress(address) ? last.Reason : List(failures);
        return new ChannelException(name, SocketErrors.Classify(last.Errno), $"cannot connect to {address}: {reason}", last.Errno);
    }

    private static string InBrackets(ChannelAddress address, IReadOnlyList<ConnectFailure>? failures) =>
        failures is null or [] || SaysItsAddress(address) ? "" : $" ({List(failures)})";

    private static string List(IReadOnlyList<ConnectFailure> failures) =>
        string.Join("; ", failures.Take(MaxNamedAddresses).Select(
            static one => $"{(one.Remote as IPEndPoint)?.Address ?? (object)one.Remote}: {one.Reason}"))
        + (failures.Count > MaxNamedAddresses ? $"; {failures.Count - MaxNamedAddresses} more" : "");

    private static bool SaysItsAddress(ChannelAddress address) => address.IsUnix || IPAddress.TryParse(address.Host, out _);

    private static async ValueTask<IReadOnlyList<EndPoint>> ResolveAsync(
        ChannelAddress address, ChannelOptions options, string name, CancellationToken cancellationToken)
    {
        if (address.IsUnix)
        {
            return [new UnixDomainSocketEndPoint(address.Path)];
        }

        if (address.Host.Length == 0)
        {
            return [new IPEndPoint(IPAddress.Loopback, address.Port), new IPEndPoint(IPAddress.IPv6Loopback, address.Port)];
        }

        if (IPAddress.TryParse(address.Host, out var literal))
        {
            return [new IPEndPoint(literal, address.Port)];
        }

        try
        {
            var found = await options.Resolve(address.Host, cancellationToken).ConfigureAwait(false);
            return [.. AddressOrder.Interleave(found).Select(a => new IPEndPoint(a, address.Port))];
        }
        catch (SocketException e)
        {
            throw new ChannelException(name, ChannelEnd.Failed, 0, $"cannot resolve '{address.Host}': {e.Message}");
        }
    }

    /// <summary>The local address for a channel; null where the routes choose it, as for a peer of the other address family.</summary>
    private static IPEndPoint? LocalFor(EndPoint remote, ChannelOptions options, int index)
    {
        if (options.LocalAddresses.Count == 0 || remote is not IPEndPoint)
        {
            return null;
        }

        var local = options.LocalAddresses[index % options.LocalAddresses.Count];
        return local.AddressFamily == remote.AddressFamily ? new IPEndPoint(local, 0) : null;
    }
}
