namespace DataPlane.Admission;

/// <summary>How far an undecided connection has come.</summary>
public enum UndecidedState
{
    /// <summary>It has not said a byte, and it may still become any channel.</summary>
    Silent,

    /// <summary>It has not said a byte, everything but the preempt channel is there, and it may be that: it has no deadline.</summary>
    Candidate,

    /// <summary>Its bytes are right so far and prove nothing yet.</summary>
    Speaking,

    /// <summary>
    /// It has said a whole page record or end word, and the host cannot judge it yet; or it is a main channel beside one that may still be
    /// given up.
    /// </summary>
    Held,
}

/// <summary>An undecided connection, for status views.</summary>
/// <param name="Peer">The peer's address and port, or the path of the Unix listener it came to.</param>
/// <param name="State">How far it has come.</param>
/// <param name="Bytes">First bytes that were taken from it.</param>
/// <param name="Age">Time since it was accepted.</param>
public sealed record UndecidedInfo(string Peer, UndecidedState State, int Bytes, TimeSpan Age);
