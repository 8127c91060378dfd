using System.Net.Sockets;
using System.Runtime.CompilerServices;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.Guard;

/// <summary>
/// A migration of nothing through a guard that nobody sees, so that the runtime compiles what guards do before the first real one comes.
/// </summary>
/// <remarks>
/// Compiling costs about 0.1 s of CPU once per process. On a machine whose cores carry the migration itself that is a tenth of the time
/// that a GiB takes, while a guard that waits has nothing to do. A program that was compiled ahead of time needs none.
/// </remarks>
public static class GuardRehearsal
{
    private const int PageBytes = 1 << 20;
    private const int Turns = 64;
    private static readonly byte[] s_success = [0, 1, 0, 4, 0, 0, 0, 0]; // SHUT of the return path

    /// <summary>
    /// Goes once through a migration with one multifd channel, over Unix sockets in a folder of its own. Takes 0.1 to 0.3 s. What goes wrong
    /// is logged and nothing more: a guard works without. Cancelled, it returns, and nothing is left of it.
    /// </summary>
    public static async Task RunAsync(ILogger logger, CancellationToken cancellationToken = default)
    {
        try
        {
            await MoveNothingAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure
            is IOException or SocketException or UnauthorizedAccessException or GuardException or OperationCanceledException)
        {
            GuardLog.NotRehearsed(logger, failure.Message);
        }
    }

    internal static async Task MoveNothingAsync(CancellationToken cancellationToken)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("dataplane-guard-");
        try
        {
            await RunInAsync(folder.FullName, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task RunInAsync(string folder, CancellationToken cancellationToken)
    {
        var qemu = new UnixDomainSocketEndPoint(Path.Combine(folder, "qemu"));
        var door = new UnixDomainSocketEndPoint(Path.Combine(folder, "door"));
        using Socket listener = NewSocket();
        listener.Bind(qemu);
        listener.Listen();
        var options = new GuardedVmOptions
        {
            Name = "rehearsal",
            Listen = [ChannelAddress.Unix(door.ToString())],
            To = ChannelAddress.Unix(qemu.ToString()),
            Channels = 1,
        };
        var guard = new GuardedVm(options, TimeProvider.System, NullLogger.Instance);
        await using ConfiguredAsyncDisposable closing = guard.ConfigureAwait(false);
        await guard.StartAsync(cancellationToken).ConfigureAwait(false);
        Task<GuardState> running = guard.RunAsync(cancellationToken);
        using Socket main = NewSocket();
        using Socket pages = NewSocket();
        await main.ConnectAsync(door, cancellationToken).ConfigureAwait(false);
        await pages.ConnectAsync(door, cancellationToken).ConfigureAwait(false);
        await Task.WhenAll(
            SendAsync(main, pages, cancellationToken),
            ReceiveAsync(listener, cancellationToken)).ConfigureAwait(false);
        GuardState ended = await running.ConfigureAwait(false);
        if (ended != GuardState.Completed)
            throw new GuardException($"the rehearsal is {ended}: {guard.Snapshot().Failure}");
    }

    private static async Task SendAsync(Socket main, Socket pages, CancellationToken cancellationToken)
    {
        byte[] begin = new byte[StreamHeader.Size];
        StreamHeader.Write(begin);
        byte[] init = new byte[MultifdInit.Size];
        new MultifdInit(Guid.Empty, 0).Write(init);
        await main.SendAsync(begin, cancellationToken).ConfigureAwait(false);
        await pages.SendAsync(init, cancellationToken).ConfigureAwait(false);
        byte[] some = new byte[PageBytes];
        for (int turn = 0; turn < Turns; turn++)
        {
            await pages.SendAsync(some, cancellationToken).ConfigureAwait(false);
            await main.SendAsync(init, cancellationToken).ConfigureAwait(false);
        }

        main.Shutdown(SocketShutdown.Send);
        pages.Shutdown(SocketShutdown.Send);
        while (await main.ReceiveAsync(some, cancellationToken).ConfigureAwait(false) > 0)
            continue;
    }

    private static async Task ReceiveAsync(Socket listener, CancellationToken cancellationToken)
    {
        using Socket main = await listener.AcceptAsync(cancellationToken).ConfigureAwait(false);
        using Socket pages = await listener.AcceptAsync(cancellationToken).ConfigureAwait(false);
        await Task.WhenAll(DrainAsync(main, cancellationToken), DrainAsync(pages, cancellationToken)).ConfigureAwait(false);
        await main.SendAsync(s_success, cancellationToken).ConfigureAwait(false);
    }

    private static async Task DrainAsync(Socket socket, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[PageBytes];
        while (await socket.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false) > 0)
            continue;
    }

    private static Socket NewSocket() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
}
