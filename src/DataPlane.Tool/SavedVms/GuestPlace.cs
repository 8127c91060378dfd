using System.Text.Json.Serialization;

namespace DataPlane.Tool.SavedVms;

/// <summary>Who has the guest when a command ends, as seen from where the command ran.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<GuestPlace>))]
internal enum GuestPlace
{
    /// <summary>A source: it did not start at the destination, and the file is as before. A destination: it has arrived.</summary>
    [JsonStringEnumMemberName("here")]
    Here,

    [JsonStringEnumMemberName("at_destination")]
    AtDestination,

    /// <summary>All of it has arrived, and the other side has not said, or could not be told, who has it.</summary>
    [JsonStringEnumMemberName("unknown")]
    Unknown,
}
