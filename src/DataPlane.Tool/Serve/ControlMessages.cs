using System.Text.Json.Serialization;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>A message between <c>bench</c> (the client) and <c>serve</c> on the control connection, beside the data.</summary>
/// <remarks>
/// <code>
/// | client  | server                                                             |
/// | hello   | welcome, or error (busy, version)                                  |
/// | prepare | ready with the port where the leg's data connections are accepted  |
/// | (data connections, no message) | result when the leg is over, also a failed one |
/// | digest  | digest_result over the memory that the last leg filled             |
/// </code>
/// In a session, prepare and digest may repeat; it ends when the client closes. Any message out of turn ends it with an error.
/// </remarks>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(HelloMessage), "hello")]
[JsonDerivedType(typeof(WelcomeMessage), "welcome")]
[JsonDerivedType(typeof(PrepareMessage), "prepare")]
[JsonDerivedType(typeof(ReadyMessage), "ready")]
[JsonDerivedType(typeof(ResultMessage), "result")]
[JsonDerivedType(typeof(DigestMessage), "digest")]
[JsonDerivedType(typeof(DigestResultMessage), "digest_result")]
[JsonDerivedType(typeof(ErrorMessage), "error")]
internal abstract record ControlMessage;

/// <summary>The client's first message.</summary>
internal sealed record HelloMessage : ControlMessage
{
    /// <summary>
    /// The version of this protocol. It is raised when an older side could misunderstand; new optional keys do not raise it.
    /// </summary>
    public const int CurrentVersion = 1;

    public required int Version { get; init; }

    public required string DataplaneVersion { get; init; }

    /// <summary>The memory of the guest to come, in bytes: the client may be filling it before it asks for anything.</summary>
    public long RamBytes { get; init; }
}

/// <summary>The server's answer to <c>hello</c>: the session is open.</summary>
internal sealed record WelcomeMessage : ControlMessage
{
    public required int Version { get; init; }

    public required string DataplaneVersion { get; init; }

    public required HostFacts Host { get; init; }

    /// <summary>The most memory that <c>prepare</c> may ask for, in bytes.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>Why the server would refuse the leg by postcopy; null where it would not.</summary>
    public string? PostcopyObstacle { get; init; }
}

/// <summary>
/// Asks for the destination of one leg: a listener, and memory as after a fresh start (all zero, and populated except for postcopy).
/// </summary>
internal sealed record PrepareMessage : ControlMessage
{
    /// <summary>The name of the leg, which is the same on both sides.</summary>
    public required string Leg { get; init; }

    public required long RamBytes { get; init; }

    /// <summary>The number of data connections of the wire limit, or of multifd channels of a migration.</summary>
    public required int Channels { get; init; }

    /// <summary>How the pages of a migration are compressed: the destination refuses anything else.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<CompressionMethod>))]
    public CompressionMethod Compression { get; init; }

    /// <summary>What the guest does at the destination; null for every leg but the one by postcopy.</summary>
    public PostcopyRequest? Postcopy { get; init; }
}

/// <summary>A guest that runs at the destination before its memory is there, and everything that tells what the memory must hold.</summary>
internal sealed record PostcopyRequest
{
    /// <summary>The most threads of the guest, which are more than the processors of any guest here.</summary>
    public const int MaxThreads = 64;

    public required bool Preempt { get; init; }

    public required ulong Seed { get; init; }

    public required int ZeroPercent { get; init; }

    /// <summary>Bytes from the start of the memory in which the guest has written at the source.</summary>
    public required long WindowBytes { get; init; }

    /// <summary>Bytes of memory that the guest touches per second, all threads together.</summary>
    public required long TouchBytesPerSecond { get; init; }

    public required int Threads { get; init; }
}

/// <summary>The server's answer to <c>prepare</c>: the leg's data connections are accepted now.</summary>
internal sealed record ReadyMessage : ControlMessage
{
    public required int Port { get; init; }
}

/// <summary>How the leg ended at the destination.</summary>
internal sealed record ResultMessage : ControlMessage
{
    /// <summary>The time from the first connection to the commit, by the destination's clock.</summary>
    public double Seconds { get; init; }

    /// <summary>The CPU time of the destination process from <c>ready</c> to the commit.</summary>
    public double CpuSeconds { get; init; }

    /// <summary>The bytes received on the leg's connections.</summary>
    public long Bytes { get; init; }

    public long? NormalPages { get; init; }

    public long? ZeroPages { get; init; }

    public PostcopyResult? Postcopy { get; init; }

    /// <summary>Why the leg failed; null when it did not.</summary>
    public string? Error { get; init; }
}

/// <summary>What the destination measured of a guest whose memory followed it.</summary>
internal sealed record PostcopyResult
{
    public required double StartDelaySeconds { get; init; }

    public required long Requests { get; init; }

    public required long RequestedPages { get; init; }

    public required TouchSample Touches { get; init; }
}

/// <summary>Asks for the digest of the memory that the last leg filled.</summary>
internal sealed record DigestMessage : ControlMessage;

internal sealed record DigestResultMessage : ControlMessage
{
    public required string Algorithm { get; init; }

    public required string Value { get; init; }
}

/// <summary>The server's last message before it closes.</summary>
internal sealed record ErrorMessage : ControlMessage
{
    public const string Busy = "busy";
    public const string WrongVersion = "version";
    public const string BadRequest = "bad_request";

    public required string Code { get; init; }

    public required string Message { get; init; }
}

/// <summary>Generated serializers of the control messages. Nothing in them nests deeper than a host inside a welcome.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    MaxDepth = 8)]
[JsonSerializable(typeof(ControlMessage))]
internal sealed partial class ControlJson : JsonSerializerContext;
