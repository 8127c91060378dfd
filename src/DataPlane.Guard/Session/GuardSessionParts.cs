using DataPlane.Guard.Entrance;
using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>Puts the parts of a session together. Each gets exactly what it needs.</summary>
internal static class GuardSessionParts
{
    public static GuardSession Assemble(
        GuardedVmOptions options, QemuTarget target, QemuMonitor? monitor, KnownBlocks blocks, TimeProvider time, ILogger logger)
    {
        // What happens, and where the migration stands.
        var name = options.Name;
        var hasMonitor = monitor is not null;
        var tasks = new SessionTasks();
        var events = new SessionEvents(tasks, time);
        var state = new SessionState(name, time, logger);
        var statuses = new QemuStatuses(events, name, logger);
        var current = new CurrentLink();

        // The relays, and when QEMU is told of a loss.
        var relays = new RelayEngine(RelayEngine.DefaultWorkers,
            relay => events.Post(new GuardEvent.RelayEnded(relay)), e => events.Post(new GuardEvent.Broken(e)));
        var shown = new GuardChannels(relays, options.Sockets.AcknowledgementTimeout, time);
        var loss = new LossTiming(name, target, state, statuses, current, relays, tasks, time, logger);

        // Who is let in.
        var requests = new PageRequests();
        var host = new GuardAdmissionHost(requests, blocks, ForwardingOrder.NeedsPreemptEnd(target)) { LinkIsLost = () => loss.LinkIsLost };
        var listener = new PublicListener(options, target, host, time, logger);

        // How it goes on, and how it ends.
        var outcome = new MigrationOutcome(options, state, current, monitor, statuses, relays, shown, listener, events, logger);
        var postcopy = new PostcopyTurns(target, state, current, host, requests, relays, listener, outcome);
        var preemptEnd = new PreemptEnd(options, target, state, current, host, listener, events, time);

        // How QEMU gets its connections: all channels go to it through this entrance, whatever it is.
        var dialer = new QemuDialer(options, target, monitor, time, logger);
        var entrance = new RelayedEntrance(dialer, relays, monitor, options.TlsHandshakeTimeout, time);
        IMigrationChannels channels = target.Tls ? Tls() : Plain();
        return new GuardSession(name, state, tasks, events, statuses, current, relays, entrance, listener, shown, channels, preemptEnd,
            postcopy, outcome, logger);

        TlsChannels Tls()
        {
            var queue = new TlsQueue(options, target, entrance, shown, listener, tasks, events, time, logger);
            return new TlsChannels(hasMonitor, state, current, host, statuses, shown, queue, loss, postcopy, outcome);
        }

        PlainChannels Plain()
        {
            var links = new LinkOpener(name, current, entrance, shown, requests, host, listener, loss, preemptEnd, events, logger);
            var set = new HeldSet(1 + target.Channels, options.UndecidedTimeout, time);
            var forwarding = new SetForwarding(
                name, target, state, host, listener, links, entrance, outcome, AskBlocksAgain, logger);
            var assembly = new SetAssembly(options, set, forwarding, shown, listener, events, logger);
            var join = new PreemptJoin(name, current, relays, requests, host, logger);
            var recovery = new PlainRecovery(
                target, hasMonitor, state, current, host, statuses, relays, shown, links, entrance, postcopy, outcome, time);
            return new PlainChannels(state, current, listener, assembly, join, recovery, postcopy, outcome);
        }

        // Memory may have been plugged in since QEMU was asked first. Nobody waits for the answer.
        void AskBlocksAgain()
        {
            if (target.Postcopy && monitor is not null)
            {
                _ = tasks.Run(ending => monitor.AskBlocksAsync(blocks, ending));
            }
        }
    }
}
