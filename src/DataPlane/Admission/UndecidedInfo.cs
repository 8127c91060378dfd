namespace DataPlane;

/// <summary>How far an undecided connection has come.</summary>
public enum UndecidedState
{
    /// <summary>The connection has not sent a byte and may still become any channel.</summary>
    Silent,

    /// <summary>
    /// The connection has not sent a byte and may be the preempt channel, the only one that is missing. It has no deadline.
    /// </summary>
    Candidate,

    /// <summary>The connection's bytes are right so far and prove nothing yet, or its TLS handshake is under way.</summary>
    Speaking,

    /// <summary>
    /// The connection has sent a whole page record, a lone end or a recovery command, and the host cannot judge it yet; or it is a main
    /// channel beside one that may still be given up.
    /// </summary>
    Held,
}

/// <summary>Describes an undecided connection, for status views.</summary>
/// <param name="Peer">The peer's address and port, or the path of the Unix listener it came to.</param>
/// <param name="State">How far the connection has come.</param>
/// <param name="Bytes">How many bytes have been read from it.</param>
/// <param name="Age">Time since it was accepted.</param>
public sealed record UndecidedInfo(string Peer, UndecidedState State, int Bytes, TimeSpan Age);
