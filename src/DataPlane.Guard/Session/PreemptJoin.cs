using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>Joins the preempt channel, which is open to QEMU, with the client that has proved to be it.</summary>
internal sealed class PreemptJoin(
    string name, CurrentLink current, RelayEngine relays, PageRequests requests, GuardAdmissionHost host, ILogger logger)
{
    /// <summary>Joins the client. Returns false where no preempt channel waits for one.</summary>
    public bool TryJoin(AdmittedChannel client)
    {
        if (current.Link is not { UnusedPreempt: { } preempt } link)
        {
            return false;
        }

        GuardLog.PreemptFound(logger, name, client.Peer);
        relays.JoinClient(preempt, client.Channel, client.Consumed);
        link.IgnoreRequests();
        requests.Clear();
        host.MayAnswerLostLink = false;
        return true;
    }
}
