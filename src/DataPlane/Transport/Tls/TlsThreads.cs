using System.Collections.Concurrent;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Threads for the cryptography of handshakes and for nothing else: one for each two processors, four at most. So strangers who begin many
/// handshakes take neither the runtime's thread pool from the migration nor more of the machine than these threads.
/// </summary>
internal sealed class TlsThreads : TaskScheduler, IDisposable
{
    public const string Name = "dp-tls-hand";
    public const int Most = 4;

    private readonly BlockingCollection<Task> _queue = [];
    private readonly Thread[] _threads;

    public TlsThreads()
    {
        _threads = new Thread[Math.Clamp(Environment.ProcessorCount / 2, 1, Most)];
        for (var i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Run) { Name = Name, IsBackground = true };
            _threads[i].Start();
        }
    }

    public override int MaximumConcurrencyLevel => _threads.Length;

    /// <summary>
    /// Ends the threads after the tasks that are queued. What continues later runs on the runtime's thread pool. Idempotent.
    /// </summary>
    public void Dispose() => _queue.CompleteAdding();

    protected override void QueueTask(Task task)
    {
        try
        {
            _queue.Add(task);
        }
        catch (InvalidOperationException)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static state => state.Scheduler.TryExecuteTask(state.Task), (Scheduler: this, Task: task), false);
        }
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

    protected override IEnumerable<Task> GetScheduledTasks() => [.. _queue];

    private void Run()
    {
        foreach (var task in _queue.GetConsumingEnumerable())
        {
            TryExecuteTask(task);
        }
    }
}
