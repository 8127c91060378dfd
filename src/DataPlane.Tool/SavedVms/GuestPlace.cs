using System.Text.Json.Serialization;

namespace DataPlane.Tool.SavedVms;

/// <summary>Where the guest is when the command ends.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<GuestPlace>))]
internal enum GuestPlace
{
    /// <summary>The guest is in the file: it did not start at the destination (send), or it has come from its source (receive).</summary>
    [JsonStringEnumMemberName("here")]
    Here,

    [JsonStringEnumMemberName("at_destination")]
    AtDestination,

    [JsonStringEnumMemberName("at_source")]
    AtSource,

    /// <summary>It cannot be known here whether the other side has the guest.</summary>
    [JsonStringEnumMemberName("unknown")]
    Unknown,
}
