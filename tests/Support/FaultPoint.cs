namespace DataPlane.TestSupport;

/// <summary>A place in a direction of main that is known by what stands there: so many bytes into a record.</summary>
/// <param name="Record">One of the names that <see cref="FaultScan"/> gives: PACKAGED, PING, PONG...</param>
/// <param name="Value">The number that PING, PONG and SHUT carry; null for any.</param>
/// <param name="Into">How many bytes of the record are still before the place.</param>
internal sealed record FaultPoint(string Record, uint? Value = null, long Into = 0)
{
    internal bool Matches(string record, uint value) => record == Record && (Value is null || Value == value);

    public override string ToString() => $"{Record}{(Value is { } value ? $" 0x{value:X}" : "")}{(Into > 0 ? $" + {Into}" : "")}";
}
