using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.QemuTests.Postcopy;

/// <summary>
/// Stands for a guest of QEMU's at a destination of ours: nothing here can run it, but pages are read at random from the moment at which it
/// would run, and remembered.
/// </summary>
internal sealed partial class ReadingGuest : IPostcopyGuest, IDisposable
{
    private static readonly RamAllocation s_small = RamAllocation.Default with { HugePages = false };

    private readonly ConcurrentDictionary<long, int> _read = new();
    private readonly ConcurrentQueue<string> _calls = [];
    private readonly ConcurrentQueue<PostcopyPause> _pauses = [];
    private readonly Random _random = new(1);
    private Thread? _reader;
    private volatile bool _stop;
    private volatile bool _mayRun;

    public Func<Task>? OnLoad { get; init; }

    public Action? OnFlow { get; init; }

    public GuestMemory? Memory { get; private set; }

    public IEnumerable<string> Calls => _calls;

    public IEnumerable<PostcopyPause> Pauses => _pauses;

    /// <summary>The guest has been made to run here at some time.</summary>
    public bool Started => _calls.Contains("start");

    /// <summary>It runs, as far as it can without the pages that are missing: not where it is said that it should not.</summary>
    public bool Runs => _mayRun;

    public int PagesRead => _read.Count;

    private RamBlock Ram => Memory!.Blocks.MaxBy(static block => block.Length)!;

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        Memory = new GuestMemory(
            [.. blocks.Select(static block => RamBlock.Allocate(block.Name, block.Length, s_small))]);
        return new(Memory);
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken)
    {
        _calls.Enqueue("commit");
        return default;
    }

    public async ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken)
    {
        _calls.Enqueue("load");
        if (OnLoad is not null)
        {
            await OnLoad();
        }
    }

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        _mayRun = true;
        if (!_calls.Contains("commit"))
        {
            _reader = new Thread(Read) { IsBackground = true };
            _reader.Start();
            OnFlow?.Invoke();
        }

        _calls.Enqueue("start");
        return default;
    }

    public ValueTask CompleteAsync(ReceivedPages pages)
    {
        Stop();
        _calls.Enqueue("complete");
        return default;
    }

    public ValueTask AbandonAsync(Exception cause)
    {
        _calls.Enqueue("abandon");
        return default;
    }

    public void OnPaused(PostcopyPause pause)
    {
        _mayRun = _mayRun && !pause.OwnershipUnknown;
        _pauses.Enqueue(pause);
    }

    public void OnResumed()
    {
        _mayRun = true;
        OnFlow?.Invoke();
        _calls.Enqueue("resume");
    }

    public void Stop()
    {
        _stop = true;
        _reader?.Join();
    }

    /// <summary>
    /// The first page that is not as in <paramref name="dump"/>, the memory of the guest that stands still at its source, or was not when
    /// it was read; null if there is none.
    /// </summary>
    public string? FirstDifference(string dump)
    {
        using var file = File.OpenRead(dump);
        var expected = new byte[TargetPage.Size];
        for (long page = 0; page < Ram.PageCount; page++)
        {
            file.ReadExactly(expected);
            if (page is >= 0xA0 and < 0x100)
            {
                continue; // video memory and ROM lie over it in the dump
            }

            if (!Ram.Span(page << TargetPage.Shift, TargetPage.Size).SequenceEqual(expected))
            {
                return $"page {page}";
            }

            if (_read.TryGetValue(page, out var hash) && hash != Hash(expected))
            {
                return $"page {page} was another when it was read";
            }
        }

        return null;
    }

    public void Dispose()
    {
        Stop();
        Memory?.Dispose();
    }

    private static int Hash(ReadOnlySpan<byte> page)
    {
        var hash = default(HashCode);
        hash.AddBytes(page);
        return hash.ToHashCode();
    }

    private void Read()
    {
        using var copy = File.OpenHandle(
            Path.GetTempFileName(), FileMode.Open, FileAccess.ReadWrite, FileShare.None, FileOptions.DeleteOnClose);
        var bytes = new byte[TargetPage.Size];
        while (!_stop)
        {
            Thread.Sleep(2); // a busy guest would have fetched everything before anything can happen
            var page = _random.NextInt64(Ram.PageCount);
            if (_mayRun && TryRead(copy, Ram.Address + (nint)(page << TargetPage.Shift), bytes))
            {
                _read[page] = Hash(bytes);
            }
        }
    }

    /// <summary>By a system call: that fails where the page will never come, and a plain touch would end the process.</summary>
    private static bool TryRead(SafeFileHandle copy, nint address, byte[] bytes) =>
        Write(copy, address, (nuint)bytes.Length, 0) == bytes.Length && RandomAccess.Read(copy, bytes, 0) == bytes.Length;

    [LibraryImport("libc", EntryPoint = "pwrite")]
    private static partial nint Write(SafeFileHandle file, nint address, nuint length, long offset);
}
