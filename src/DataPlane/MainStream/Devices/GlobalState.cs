using System.Buffers.Binary;
using System.Text;

namespace DataPlane.MainStream.Devices;

/// <summary>
/// The body of QEMU's section globalstate, which decides whether the guest runs after loading.
/// <code>
///  0   4  u32 length of the run state with its NUL
///  4  32  run state, filled with NUL
/// 36  68  differs between versions, never touched
/// </code>
/// </summary>
internal static class GlobalState
{
    public const string DeviceName = "globalstate";

    private const int TextOffset = 4;
    private const int TextSize = 32;

    /// <summary>
    /// Whether a run state may be changed: only running and paused. Others (suspended, postmigrate...) mean more than whether the guest
    /// runs.
    /// </summary>
    public static bool CanChange(string runState) => runState is "running" or "paused";

    public static string? Read(ReadOnlySpan<byte> body)
    {
        if (body.Length < TextOffset + TextSize)
        {
            return null;
        }

        var size = BinaryPrimitives.ReadUInt32BigEndian(body);
        var text = body.Slice(TextOffset, TextSize);
        var end = text.IndexOf((byte)0);
        return end > 0 && end + 1 == size && !text[..end].ContainsAnyExceptInRange((byte)' ', (byte)'~')
            ? Encoding.ASCII.GetString(text[..end]) : null;
    }

    public static void Write(Span<byte> body, string runState)
    {
        BinaryPrimitives.WriteUInt32BigEndian(body, (uint)runState.Length + 1);
        var text = body.Slice(TextOffset, TextSize);
        text.Clear();
        Encoding.ASCII.GetBytes(runState, text);
    }
}
