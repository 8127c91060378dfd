namespace DataPlane.Admission;

/// <summary>How a host judges the first page record on a connection (<see cref="IAdmissionHost.Judge"/>).</summary>
public enum PreemptVerdict
{
    /// <summary>The host cannot judge it yet, for example because the RAM blocks are unknown: the connection is held.</summary>
    NotYet,

    /// <summary>There is no such block or page, or nobody has asked for it: this is not the preempt channel.</summary>
    Refuse,

    /// <summary>The page was asked for and has not come: this is the preempt channel.</summary>
    Requested,
}
