namespace DataPlane.Wire;

/// <summary>
/// A packet of device state (VFIO devices, QEMU 10.0 and later), which DataPlane recognises only to name the device when it refuses the
/// packet (specification, 3-multifd section 2.4).
/// <code>
///   0   12  magic, version, flags with 40
///  12  256  device id, padded with NUL
/// 268    4  instance
/// 272    4  bytes of data that follow
/// </code>
/// </summary>
internal static class MultifdDeviceStatePacket
{
    public const int Size = 276;

    private const int NameOffset = MultifdPacket.PrefixSize;

    /// <summary>Why the packet is refused; <paramref name="source"/> may hold as little as the flags.</summary>
    public static string Refusal(ReadOnlySpan<byte> source)
    {
        if (source.Length < NameOffset + MultifdPacket.BlockNameSize)
        {
            return "device state on a multifd channel is not supported";
        }

        var name = MultifdPacketReader.TrimName(source.Slice(NameOffset, MultifdPacket.BlockNameSize));
        return $"device state of {WireName.Quote(name)} on a multifd channel is not supported; detach the assigned device";
    }
}
