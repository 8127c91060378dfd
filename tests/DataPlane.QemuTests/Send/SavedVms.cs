using System.Collections.Concurrent;
using DataPlane.QemuTests.Harness;

[assembly: AssemblyFixture(typeof(DataPlane.QemuTests.Send.SavedVms))]

namespace DataPlane.QemuTests.Send;

/// <summary>
/// Saved VMs that many tests send: each is made once, when the first test asks for it. Its guest was running, dirtying its memory, and goes
/// on where it arrives.
/// </summary>
public sealed class SavedVms : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<Task<SavedVm>>> _made = new();
    private readonly List<WorkFolder> _folders = [];

    public ValueTask DisposeAsync()
    {
        foreach (var folder in _folders)
        {
            folder.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>Off a QEMU by `dataplane receive`.</summary>
    internal Task<SavedVm> ReceivedAsync(QemuVersion version, string machine) =>
        OnceAsync($"received {version} {machine}", version, machine, async (source, work) =>
        {
            await using var receive = await ReceiveProcess.StartAsync(new ReceiveOptions { Out = work["vm"] }, work,
                CancellationToken.None);
            await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true }, CancellationToken.None);
            await source.MigrateAsync(receive.Uri, CancellationToken.None);
            var result = await receive.WaitAsync(CancellationToken.None);
            Assert.True(result.ExitCode == 0, result.ToString());
        });

    /// <summary>Written by QEMU itself: `migrate file:`, with so many multifd channels.</summary>
    internal Task<SavedVm> WrittenByQemuAsync(QemuVersion version, string machine, int channels) =>
        OnceAsync($"written {version} {machine} {channels}", version, machine, async (source, work) =>
        {
            await source.PrepareMigrationAsync(new MigrationSettings { MappedRam = true, Channels = channels }, CancellationToken.None);
            await source.MigrateAsync($"file:{work["vm"]}", CancellationToken.None);
        });

    private Task<SavedVm> OnceAsync(string name, QemuVersion version, string machine, Func<QemuProcess, WorkFolder, Task> saveAsync) =>
        _made.GetOrAdd(name, _ => new Lazy<Task<SavedVm>>(() => MakeAsync(version, machine, saveAsync))).Value;

    private async Task<SavedVm> MakeAsync(QemuVersion version, string machine, Func<QemuProcess, WorkFolder, Task> saveAsync)
    {
        var work = new WorkFolder();
        lock (_folders)
        {
            _folders.Add(work);
        }

        var options = new QemuOptions { Version = version, Machine = machine };
        await using var source = await QemuProcess.StartAsync(options, work, "source", CancellationToken.None);
        await source.Console.WaitForAsync(report => report.Pass >= 2, "the second pass", CancellationToken.None);
        await saveAsync(source, work);
        using (var file = MappedRamFile.Open(work["vm"]))
        {
            Assert.Null(file.FirstDifference(file.Ram, await source.SaveMemoryAsync(CancellationToken.None)));
        }

        return new SavedVm(work["vm"], options, source.Console.Reports[^1]);
    }
}
