namespace DataPlane.QemuTests.Postcopy;

/// <summary>Hands each report on at once, on the thread that makes it.</summary>
internal sealed class Reports(Action<MigrationProgress> act) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value) => act(value);
}
