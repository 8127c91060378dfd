using System.Buffers.Binary;

namespace DataPlane.Images;

/// <summary>
/// Recognises files that are not mapped-ram files from their first byte on, but hold a VM or a part of one in another format. Only the
/// beginning of the file is examined.
/// </summary>
internal static class SavedFormat
{
    private const int HeadBytes = 32;
    private const int ScanStep = 512;
    private const int ScanBytes = 1 << 20;
    private const int StreamStart = 8;

    private static readonly (byte[] Start, string Kind)[] s_kinds =
    [
        ("LibvirtQemudSave"u8.ToArray(), "a save image of libvirt (virsh save), which is not read yet: virsh restore brings it back"),
        ("LibvirtQemudPart"u8.ToArray(), "a save image of libvirt that was never finished (virsh save was interrupted)"),
        ([0x51, 0x46, 0x49, 0xFB], "a qcow2 disk image"),
        ("KDUMP   "u8.ToArray(), "a memory dump in kdump format (dump-guest-memory): it holds no devices"),
        ([0x7F, .. "ELF"u8], "an ELF file, as dump-guest-memory writes it: it holds no devices"),
        ([0x1F, 0x8B], "compressed with gzip: unpack it first"),
        ([0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd: unpack it first"),
        ([0xFD, .. "7zXZ"u8, 0], "compressed with xz: unpack it first"),
        ("BZh"u8.ToArray(), "compressed with bzip2: unpack it first"),
        ([0x89, .. "LZO"u8], "compressed with lzop: unpack it first"),
    ];

    /// <summary>
    /// Describes the kind of the file in words. Returns null if it is a migration stream from its first byte on, or of no known kind.
    /// </summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static string? Describe(ImageBytes image)
    {
        if (image.Length == 0)
        {
            return "the file is empty";
        }

        var head = new byte[HeadBytes];
        var length = image.Read(0, head);
        foreach ((var start, var kind) in s_kinds)
        {
            if (head.AsSpan(0, length).StartsWith(start))
            {
                return $"it is {kind}";
            }
        }

        return IsStream(head.AsSpan(0, length)) ? null : FindStream(image);
    }

    private static string? FindStream(ImageBytes image)
    {
        var bytes = new byte[(int)Math.Min(ScanBytes, image.Length)];
        var length = image.Read(0, bytes);
        for (var at = ScanStep; at + StreamStart <= length; at += ScanStep)
        {
            if (IsStream(bytes.AsSpan(at)))
            {
                return $"a migration begins {at} bytes after its start (file:PATH,offset={at}), which is not read yet";
            }
        }

        return null;
    }

    private static bool IsStream(ReadOnlySpan<byte> bytes) =>
        bytes.Length >= StreamStart && BinaryPrimitives.ReadUInt64BigEndian(bytes) == 0x5145564D_00000003;
}
