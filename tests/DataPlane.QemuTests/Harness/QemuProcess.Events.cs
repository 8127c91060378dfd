using System.Text.Json;

namespace DataPlane.QemuTests.Harness;

internal sealed partial class QemuProcess
{
    /// <summary>When QEMU reported, by its own clock, that the present migration came to <paramref name="status"/>; waits for it.</summary>
    public async Task<DateTime> TimeOfStateAsync(string status, CancellationToken token) =>
        TimeOf(await _monitor.Events.WaitForAsync(entry => StatusOf(entry) == status, $"the migration is {status}", _begin, token: token));

    /// <summary>When QEMU began to run the guest, for the first time in its life; waits for it.</summary>
    public async Task<DateTime> TimeOfGuestAsync(CancellationToken token) =>
        TimeOf(await _monitor.Events.WaitForAsync(
            entry => entry.GetProperty("event").GetString() == "RESUME", "the guest runs", token: token));

    private static DateTime TimeOf(JsonElement entry)
    {
        var stamp = entry.GetProperty("timestamp");
        return DateTime.UnixEpoch.AddSeconds(stamp.GetProperty("seconds").GetInt64())
            .AddMicroseconds(stamp.GetProperty("microseconds").GetInt64());
    }
}
