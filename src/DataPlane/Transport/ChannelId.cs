using System.Globalization;

namespace DataPlane.Transport;

/// <summary>Which channel of a migration this is. Comparable by value; messages name it by its text.</summary>
internal readonly record struct ChannelId
{
    private readonly string? _kind;
    private readonly int? _number;

    private ChannelId(string kind, int? number = null)
    {
        _kind = kind;
        _number = number;
    }

    public static ChannelId Main => new("main");

    public static ChannelId Preempt => new("preempt");

    /// <summary>A TLS session that is passed on unopened: only its two ends know which channel it is.</summary>
    public static ChannelId Tls => new("tls");

    /// <summary>The multifd channel with this number, which is that of its init packet.</summary>
    public static ChannelId Multifd(int number) => new("multifd", number);

    /// <summary>The name for messages: "main", "multifd 3", "preempt" or "tls".</summary>
    public override string ToString() =>
        _number is { } number ? string.Create(CultureInfo.InvariantCulture, $"{_kind} {number}") : _kind ?? "";
}
