using System.Buffers;
using System.Runtime.CompilerServices;

namespace DataPlane.Fuzz;

/// <summary>What must hold after a run; each method throws <see cref="OracleException"/> where it does not.</summary>
internal static class Oracle
{
    public static void Holds(bool condition, [CallerArgumentExpression(nameof(condition))] string? what = null)
    {
        if (!condition)
        {
            throw new OracleException($"does not hold: {what}");
        }
    }

    /// <summary>What was accepted re-encodes to the bytes it came from.</summary>
    public static void Same(ReadOnlySpan<byte> written, ReadOnlySpan<byte> read, string what)
    {
        if (!written.SequenceEqual(read))
        {
            throw new OracleException($"{what}: read {Convert.ToHexString(read)}, written again {Convert.ToHexString(written)}");
        }
    }

    /// <summary>A parser that says yes names nothing wrong, one that says no does, and neither takes more bytes than there are.</summary>
    public static void Consistent(OperationStatus status, int consumed, string? error, int available)
    {
        Holds(status is OperationStatus.Done or OperationStatus.NeedMoreData or OperationStatus.InvalidData);
        Holds((error is null) == (status != OperationStatus.InvalidData));
        Holds(consumed >= 0 && consumed <= available);
        Holds(status == OperationStatus.Done || consumed == 0);
    }

    /// <summary>As <see cref="Consistent(OperationStatus, int, string?, int)"/> for readers with two answers.</summary>
    public static void Consistent(bool accepted, string? error) => Holds((error is null) == accepted);
}
