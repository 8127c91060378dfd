using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.MainStream.Devices;

/// <summary>
/// Divides device state into sections without a description, which the package of postcopy does not have; with one,
/// <see cref="DeviceSectionWalk"/> does it.
/// </summary>
internal static class DeviceFooterWalk
{
    /// <summary>
    /// Largest number of attempts to find the end of a section. If more are needed the sections stay unknown, so that hostile bytes cannot
    /// cost much time.
    /// </summary>
    private const int MaxGuesses = 4096;

    /// <summary>
    /// Divides the bytes by the footers alone. In the stream of every source a section ends with a footer of its id, after which another
    /// section begins or nothing is left. If a body holds such bytes by chance, the rest cannot be divided, and a later end is tried.
    /// </summary>
    public static bool TryByFooters(ReadOnlySpan<byte> bytes, out IReadOnlyList<DeviceSection> sections)
    {
        var found = new List<DeviceSection>();
        sections = found;
        int guesses = 0, begin = 0, search = -1;
        while (begin < bytes.Length)
        {
            if (++guesses > MaxGuesses)
            {
                return false;
            }

            if (TryReadSection(bytes, begin, search, found, out var end))
            {
                (begin, search) = (end, -1);
                continue;
            }

            if (found.Count == 0)
            {
                return false;
            }

            var last = found[^1];
            found.RemoveAt(found.Count - 1);
            search = last.Offset + last.Length + 1;
            begin = found.Count == 0 ? 0 : found[^1].Offset + found[^1].Length + SectionFooter.Size;
        }

        return found.Count > 0;
    }

    /// <summary>
    /// Reads the section at <paramref name="begin"/> whose footer is the first at or after <paramref name="search"/> (-1: the first one in
    /// the section).
    /// </summary>
    private static bool TryReadSection(ReadOnlySpan<byte> bytes, int begin, int search, List<DeviceSection> found, out int end)
    {
        end = 0;
        if (SectionHeader.Parse(bytes[begin..], out var header, out var headerSize, out _) != OperationStatus.Done
            || header.Type != SectionType.Full || !WireName.TryDecode(header.Name, out var name))
        {
            return false;
        }

        var body = begin + headerSize;
        Span<byte> footer = stackalloc byte[SectionFooter.Size];
        SectionFooter.Write(footer, header.Id);
        for (var from = Math.Max(search, body); ; from++)
        {
            var distance = bytes[Math.Min(from, bytes.Length)..].IndexOf(footer);
            if (distance < 0)
            {
                return false;
            }

            from += distance;
            end = from + SectionFooter.Size;
            if (end == bytes.Length || MayFollow(bytes[end..], header.Id))
            {
                found.Add(new DeviceSection(name, header.Instance, header.Version, body, from - body));
                return true;
            }
        }
    }

    private static bool MayFollow(ReadOnlySpan<byte> bytes, uint id) =>
        SectionHeader.Parse(bytes, out var next, out _, out _) == OperationStatus.Done
        && next.Type == SectionType.Full && next.Id != id
        && WireName.TryDecode(next.Name, out _);
}
