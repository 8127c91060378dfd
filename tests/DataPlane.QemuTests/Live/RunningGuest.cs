using System.Collections.Concurrent;
using System.Security.Cryptography;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.QemuTests.Live;

/// <summary>
/// The destination of a QEMU's guest in this process, which "runs" there at once: threads read pages at random and write some, all of it by
/// system calls, since managed code must not wait for a missing page. What they have seen and written is compared at the end.
/// </summary>
internal sealed class RunningGuest(RamAllocation allocation) : IPostcopyGuest, IDisposable
{
    private const int Threads = 2;
    private const int Written = 4; // one of so many touches writes

    private readonly List<Thread> _running = [];
    private readonly ConcurrentDictionary<long, string> _seen = [];
    private readonly ConcurrentDictionary<long, byte> _written = [];
    private readonly ConcurrentQueue<string> _damage = [];
    private volatile bool _stop;

    public GuestMemory? Memory { get; private set; }

    public RamBlock Ram => Memory!.Blocks.MaxBy(static block => block.Length)!;

    /// <summary>Different pages that were read or written before the memory was complete.</summary>
    public int Touched => _seen.Count + _written.Count;

    public int Overwritten => _written.Count;

    public bool IsComplete { get; private set; }

    public ConcurrentQueue<PostcopyPause> Pauses { get; } = [];

    public ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken)
    {
        Memory = new GuestMemory([.. blocks.Select(block => RamBlock.Allocate(
            block.Name, block.Length, allocation with { HostPageSize = block.HostPageSize }))]);
        return new(Memory);
    }

    public ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken) =>
        throw new InvalidOperationException("it was to come by postcopy");

    public ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken) => default;

    public ValueTask StartAsync(CancellationToken cancellationToken)
    {
        for (var i = 0; i < Threads; i++)
        {
            var number = i;
            var thread = new Thread(() => Run(number)) { IsBackground = true };
            _running.Add(thread);
            thread.Start();
        }

        return default;
    }

    public ValueTask CompleteAsync(ReceivedPages pages)
    {
        Stop();
        IsComplete = true;
        return default;
    }

    public ValueTask AbandonAsync(Exception cause) => default;

    public void OnPaused(PostcopyPause pause) => Pauses.Enqueue(pause);

    /// <summary>
    /// What is wrong: every page must be as in the source's memory, or as it was written here; and must never have been otherwise.
    /// </summary>
    public string? FirstDamage(string dumpPath)
    {
        using var dump = File.OpenRead(dumpPath);
        var expected = new byte[TargetPage.Size];
        for (long page = 0; page < Ram.PageCount; page++)
        {
            dump.ReadExactly(expected);
            if (page is >= 0xA0 and < 0x100)
            {
                continue; // video memory and ROM lie over the RAM there
            }

            if (_seen.TryGetValue(page, out var seen) && seen != Digest(expected))
            {
                return $"page {page:x} was seen with other contents than the source's";
            }

            if (_written.TryGetValue(page, out var value))
            {
                expected.AsSpan().Fill(value);
            }

            if (!Ram.Span(page << TargetPage.Shift, TargetPage.Size).SequenceEqual(expected))
            {
                return $"page {page:x} differs{(value == 0 ? "" : ", which was written here")}";
            }
        }

        return _damage.TryPeek(out var first) ? first : null;
    }

    public void Dispose()
    {
        Stop();
        Memory?.Dispose();
    }

    private void Stop()
    {
        _stop = true;
        _running.ForEach(static thread => thread.Join());
        _running.Clear();
    }

    /// <summary>Each thread has pages of its own.</summary>
    private void Run(int number)
    {
        var random = new Random(number);
        var page = new byte[TargetPage.Size];
        using var file = LinuxFile.CreateInMemory("guest", TargetPage.Size);
        try
        {
            while (!_stop)
            {
                var index = (random.NextInt64(Ram.PageCount / Threads) * Threads) + number;
                if (random.Next(Written) == 0)
                {
                    Write(file, page, index, (byte)random.Next(1, 256));
                }
                else
                {
                    Read(file, page, index);
                }
            }
        }
        catch (IOException failure)
        {
            _damage.Enqueue(failure.Message);
        }
    }

    private void Read(SafeFileHandle file, byte[] page, long index)
    {
        RandomAccess.Write(file, Ram.Span(index << TargetPage.Shift, TargetPage.Size), 0); // the kernel reads guest memory
        RandomAccess.Read(file, page, 0);
        if (_written.TryGetValue(index, out var value))
        {
            if (page.AsSpan().ContainsAnyExcept(value))
            {
                _damage.Enqueue($"page {index:x} is not as it was written");
            }
        }
        else if (Digest(page) is var digest && _seen.GetOrAdd(index, digest) != digest)
        {
            _damage.Enqueue($"page {index:x} has changed by itself");
        }
    }

    private void Write(SafeFileHandle file, byte[] page, long index, byte value)
    {
        page.AsSpan().Fill(value);
        RandomAccess.Write(file, page, 0);
        if (RandomAccess.Read(file, Ram.Span(index << TargetPage.Shift, TargetPage.Size), 0) == TargetPage.Size)
        {
            _written[index] = value; // the kernel has written guest memory
        }
    }

    private static string Digest(ReadOnlySpan<byte> page) => Convert.ToHexString(SHA256.HashData(page));
}
