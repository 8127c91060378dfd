using System.Text.Json.Serialization;
using DataPlane.Multifd.Compression;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Serve;

/// <summary>
/// What <c>bench</c> (the client) and <c>serve</c> say to each other beside the data. One session:
/// </summary>
/// <remarks>
/// | client  | server                                                             |
/// | hello   | welcome, or error (busy, version)                                  |
/// | prepare | ready with the port where the leg's data connections are accepted  |
/// | (data connections, no message) | result when the leg is over, also a failed one |
/// | digest  | digest_result over the memory that the last leg filled             |
/// prepare and digest may repeat; the session ends when the client closes. Any message out of turn ends it with an error.
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

/// <summary>First word of the client.</summary>
internal sealed record HelloMessage : ControlMessage
{
    /// <summary>Version of this protocol. Raised when an older side could misunderstand; new optional keys do not raise it.</summary>
    public const int CurrentVersion = 1;

    public required int Version { get; init; }

    public required string DataplaneVersion { get; init; }

    /// <summary>Memory of the guest to come: the client may be filling it before it asks for anything.</summary>
    public long RamBytes { get; init; }
}

/// <summary>The session is open.</summary>
internal sealed record WelcomeMessage : ControlMessage
{
    public required int Version { get; init; }

    public required string DataplaneVersion { get; init; }

    public required HostFacts Host { get; init; }

    /// <summary>Most memory that <c>prepare</c> may ask for.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>Why the leg by postcopy would be refused; null where it would not.</summary>
    public string? PostcopyObstacle { get; init; }
}

/// <summary>Prepare the destination of one leg: memory as after a fresh start (populated, all zero), listening.</summary>
internal sealed record PrepareMessage : ControlMessage
{
    /// <summary>Which leg; the names are those of the legs on both sides.</summary>
    public required string Leg { get; init; }

    public required long RamBytes { get; init; }

    /// <summary>Data connections for the wire legs, multifd channels for a migration.</summary>
    public required int Channels { get; init; }

    /// <summary>How the pages of a migration are compressed: the destination refuses anything else.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<CompressionMethod>))]
    public CompressionMethod Compression { get; init; }

    /// <summary>What the guest does at the destination; only with the leg of that name.</summary>
    public PostcopyRequest? Postcopy { get; init; }
}

/// <summary>A guest that runs at the destination before its memory is there, and everything it needs to know what that must hold.</summary>
internal sealed record PostcopyRequest
{
    /// <summary>More threads than a guest here has processors.</summary>
    public const int MaxThreads = 64;

    public required bool Preempt { get; init; }

    public required ulong Seed { get; init; }

    public required int ZeroPercent { get; init; }

    /// <summary>The memory from the start in which the guest has written.</summary>
    public required long WindowBytes { get; init; }

    /// <summary>Memory that it touches per second, all threads together.</summary>
    public required long TouchBytesPerSecond { get; init; }

    public required int Threads { get; init; }
}

/// <summary>The leg's data connections are accepted now.</summary>
internal sealed record ReadyMessage : ControlMessage
{
    public required int Port { get; init; }
}

/// <summary>How the leg ended at the destination.</summary>
internal sealed record ResultMessage : ControlMessage
{
    /// <summary>From the first connection to the commit, by the destination's clock.</summary>
    public double Seconds { get; init; }

    /// <summary>CPU time of the destination process from ready to the commit.</summary>
    public double CpuSeconds { get; init; }

    /// <summary>Bytes received on the leg's connections.</summary>
    public long Bytes { get; init; }

    public long? NormalPages { get; init; }

    public long? ZeroPages { get; init; }

    public PostcopyResult? Postcopy { get; init; }

    /// <summary>Why the leg failed; null when it did not.</summary>
    public string? Error { get; init; }
}

/// <summary>How a guest was whose memory followed it.</summary>
internal sealed record PostcopyResult
{
    public required double StartDelaySeconds { get; init; }

    public required long Requests { get; init; }

    public required long RequestedPages { get; init; }

    public required TouchSample Touches { get; init; }
}

/// <summary>Asks for the digest of the memory.</summary>
internal sealed record DigestMessage : ControlMessage;

internal sealed record DigestResultMessage : ControlMessage
{
    public required string Algorithm { get; init; }

    public required string Value { get; init; }
}

/// <summary>The server's last word before it closes.</summary>
internal sealed record ErrorMessage : ControlMessage
{
    public const string Busy = "busy";
    public const string WrongVersion = "version";
    public const string BadRequest = "bad_request";

    public required string Code { get; init; }

    public required string Message { get; init; }
}
