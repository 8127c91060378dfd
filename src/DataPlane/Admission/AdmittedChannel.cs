using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// A connection that has proved itself. A main channel still delivers its first bytes; a multifd channel's init packet is consumed.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Id">Number of a multifd channel, else 0.</param>
/// <param name="Channel">The channel; the receiver owns it.</param>
internal sealed record AdmittedChannel(ChannelKind Kind, int Id, Channel Channel);
