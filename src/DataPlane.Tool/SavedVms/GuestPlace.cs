using System.Text.Json.Serialization;

namespace DataPlane.Tool.SavedVms;

/// <summary>Who has the guest when the command ends.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<GuestPlace>))]
internal enum GuestPlace
{
    /// <summary>It is in the file: it did not start at the destination (send), or it has come from its source (receive).</summary>
    [JsonStringEnumMemberName("here")]
    Here,

    [JsonStringEnumMemberName("at_destination")]
    AtDestination,

    [JsonStringEnumMemberName("at_source")]
    AtSource,

    /// <summary>Nobody here can know whether the other side has it.</summary>
    [JsonStringEnumMemberName("unknown")]
    Unknown,
}
