namespace DataPlane.Admission;

/// <summary>What a host says of the first page record on a connection (<see cref="IAdmissionContext.Judge"/>).</summary>
public enum PreemptVerdict
{
    /// <summary>It cannot be said yet, for example because the RAM blocks are unknown: keep the connection.</summary>
    NotYet,

    /// <summary>No such block or page, or nobody has asked for it: this is not the preempt channel.</summary>
    Refuse,

    /// <summary>The page was asked for and has not come: this is the preempt channel.</summary>
    Requested,
}
