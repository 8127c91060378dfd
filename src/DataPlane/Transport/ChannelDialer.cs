using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>Connects channels. The result is a blocking socket that the runtime's epoll thread has never seen.</summary>
internal static class ChannelDialer
{
    /// <summary>
    /// Connects to <paramref name="address"/>, trying the addresses of its host in turn until <see cref="ChannelOptions.ConnectTimeout"/>.
    /// A Unix listener whose backlog is full is asked again until then.
    /// </summary>
    /// <param name="address">Where to; without a host it is this machine.</param>
    /// <param name="options">Socket options, local addresses and the time limit.</param>
    /// <param name="name">Name of the channel, for messages.</param>
    /// <param name="index">Number of the channel: selects the local address.</param>
    /// <param name="pool">Blocks for the channel's streams.</param>
    /// <param name="cancellationToken">Gives up; the socket is closed before the task ends.</param>
    /// <param name="time">Clock of the time limit; the system's by default.</param>
    /// <param name="tls">Puts the channel inside TLS; its handshake has a time limit of its own.</param>
    /// <exception cref="ChannelException">Nobody could be reached, or the handshake failed; says whom and why.</exception>
    internal static async Task<Channel> ConnectAsync(
        ChannelAddress address,
        ChannelOptions options,
        string name,
        int index,
        BlockPool pool,
        CancellationToken cancellationToken,
        TimeProvider? time = null,
        TlsDial? tls = null)
    {
        SafeSocketHandle socket = await ConnectSocketAsync(address, options, name, index, time, cancellationToken).ConfigureAwait(false);
        return tls is null ? new Channel(socket, name, address.ToString(), pool, time)
            : await tls.SecureAsync(socket, name, address.ToString(), pool, time ?? TimeProvider.System, cancellationToken)
                .ConfigureAwait(false);
    }

    private static async Task<SafeSocketHandle> ConnectSocketAsync(
        ChannelAddress address,
        ChannelOptions options,
        string name,
        int index,
        TimeProvider? time,
        CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(options.ConnectTimeout, time ?? TimeProvider.System);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        ChannelException? failure = null;
        try
        {
            foreach (EndPoint remote in await ResolveAsync(address, name, linked.Token).ConfigureAwait(false))
            {
                using ConnectAttempt attempt = Start(remote, LocalFor(remote, options, index), options, name, address);
                if (!attempt.IsDecided)
                {
                    // A thread for the wait alone: the pool must not be emptied by peers that do not answer.
                    await Task.Factory.StartNew(
                        () => attempt.Wait(linked.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
                            .ConfigureAwait(false);
                    if (!attempt.IsDecided)
                        linked.Token.ThrowIfCancellationRequested();
                }

                if (attempt.Errno == 0)
                    return attempt.Take();
                failure = new ChannelException(name, SocketErrors.Classify(attempt.Errno), attempt.Errno, $"cannot connect to {address}");
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            failure = new ChannelException(
                name, ChannelEnd.TimedOut, Errno.ETIMEDOUT,
                $"cannot connect to {address} within {options.ConnectTimeout.TotalSeconds:0.###} s");
        }

        throw failure ?? new ChannelException(name, ChannelEnd.Failed, 0, $"{address} has no address that fits the local addresses");
    }

    private static ConnectAttempt Start(EndPoint remote, EndPoint? local, ChannelOptions options, string name, ChannelAddress address)
    {
        try
        {
            return new ConnectAttempt(remote, local, options);
        }
        catch (LinuxException e)
        {
            throw new ChannelException(
                name, ChannelEnd.Failed, e.Errno, $"cannot connect to {address}{(local is null ? "" : $" from {local}")} ({e.Call})");
        }
    }

    private static async ValueTask<EndPoint[]> ResolveAsync(ChannelAddress address, string name, CancellationToken cancellationToken)
    {
        if (address.IsUnix)
            return [new UnixDomainSocketEndPoint(address.Path)];
        if (address.Host.Length == 0)
            return [new IPEndPoint(IPAddress.Loopback, address.Port), new IPEndPoint(IPAddress.IPv6Loopback, address.Port)];
        if (IPAddress.TryParse(address.Host, out IPAddress? literal))
            return [new IPEndPoint(literal, address.Port)];

        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(address.Host, cancellationToken).ConfigureAwait(false);
            return [.. found.Select(a => new IPEndPoint(a, address.Port))];
        }
        catch (SocketException e)
        {
            throw new ChannelException(name, ChannelEnd.Failed, 0, $"cannot resolve '{address.Host}': {e.Message}");
        }
    }

    /// <summary>The channel's local address; a peer of the other family is reached from wherever the routes say.</summary>
    private static IPEndPoint? LocalFor(EndPoint remote, ChannelOptions options, int index)
    {
        if (options.LocalAddresses.Count == 0 || remote is not IPEndPoint)
            return null;
        IPAddress local = options.LocalAddresses[index % options.LocalAddresses.Count];
        return local.AddressFamily == remote.AddressFamily ? new IPEndPoint(local, 0) : null;
    }
}
