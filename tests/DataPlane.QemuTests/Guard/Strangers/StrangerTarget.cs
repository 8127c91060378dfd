namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>What a stranger knows of the migration that it disturbs: as much as the honest source.</summary>
/// <param name="Channels">multifd channels; 0 for none.</param>
/// <param name="Uuid">The VM's UUID.</param>
/// <param name="RamBytes">The length of the guest's main block, pc.ram.</param>
internal sealed record StrangerTarget(int Channels, Guid Uuid, long RamBytes);
