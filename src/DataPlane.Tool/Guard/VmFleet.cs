namespace DataPlane.Tool.Guard;

/// <summary>The VMs of a config file, each with its worker. A reload adds and retires VMs without touching the others.</summary>
internal sealed class VmFleet(Func<VmSettings, VmWorker> hire, Action<string> note, CancellationToken stop) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<Post> _posts = [];

    /// <summary>Makes the fleet what the settings say.</summary>
    /// <remarks>
    /// A VM that is no longer there is retired, now or when its migration is over. A VM whose settings have changed gets them with its next
    /// attempt: the address that is open, and the migration behind it, stay as they are.
    /// </remarks>
    public void Apply(IReadOnlyList<VmSettings> wanted)
    {
        lock (_lock)
        {
            foreach (var post in _posts.Where(post => !post.IsLeaving && !wanted.Any(vm => vm.Name == post.Worker.Name)))
            {
                post.IsLeaving = true;
                note($"{post.Worker.Name}: removed{(post.Worker.Status().IsBusy() ? " when its migration is over" : "")}");
                post.Worker.Retire();
            }

            foreach (var vm in wanted)
            {
                if (_posts.Find(post => !post.IsLeaving && post.Worker.Name == vm.Name) is not { } post)
                {
                    Add(vm);
                }
                else if (!post.Worker.Settings.IsSameAs(vm))
                {
                    post.Worker.Settings = vm;
                    note($"{vm.Name}: changed, which counts from its next migration on");
                }
            }
        }
    }

    /// <summary>All VMs in the order in which they were added, including those that leave when their migration is over.</summary>
    public IReadOnlyList<VmStatus> Status()
    {
        lock (_lock)
        {
            Sweep();
            return [.. _posts.Select(static post => post.Worker.Status())];
        }
    }

    /// <summary>Waits until every VM that is there now has been tried once, so that its address is open if it can be.</summary>
    public Task TriedAsync()
    {
        lock (_lock)
        {
            return Task.WhenAll(_posts.Select(static post => post.Worker.Tried));
        }
    }

    /// <summary>Waits until every worker has ended, after a stop.</summary>
    public async Task EndAsync()
    {
        Task[] serving;
        lock (_lock)
        {
            serving = [.. _posts.Select(static post => post.Serving)];
        }

        await Task.WhenAll(serving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private void Add(VmSettings vm)
    {
        var worker = hire(vm);
        _posts.Add(new Post(worker, Task.Run(() => worker.ServeForeverAsync(stop), CancellationToken.None)));
    }

    private void Sweep()
    {
        foreach (var post in _posts.Where(static post => post.IsLeaving && post.Serving.IsCompleted).ToArray())
        {
            _posts.Remove(post);
            post.Worker.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (var post in _posts)
        {
            post.Worker.Dispose();
        }
    }

    private sealed record Post(VmWorker Worker, Task Serving)
    {
        public bool IsLeaving { get; set; }
    }
}
