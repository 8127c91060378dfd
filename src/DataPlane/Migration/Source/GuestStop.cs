using DataPlane.Migration.Custody;

namespace DataPlane.Migration.Source;

/// <summary>Stops the guest and has its devices saved, while no time limit for a silent destination runs.</summary>
internal sealed class GuestStop(
    IMigratableGuest guest, SourceCustody custody, HostWork work, SourceProgress progress, CancellationToken stopped)
{
    /// <summary>Stops the guest, and adds the pages that it wrote last to <paramref name="remaining"/>.</summary>
    public async Task StopAsync(PrecopyRounds rounds, GuestPageSet remaining)
    {
        await progress.EnterAsync(MigrationPhase.Switchover).ConfigureAwait(false);
        using var working = work.Begin();
        if (await custody.StopAsync(stopped).ConfigureAwait(false))
        {
            rounds.CollectLast(remaining);
        }
    }

    public async Task<DeviceState> SaveDevicesAsync()
    {
        await progress.EnterAsync(MigrationPhase.DeviceState).ConfigureAwait(false);
        using var working = work.Begin();
        return await guest.SaveDeviceStateAsync(stopped).ConfigureAwait(false);
    }
}
