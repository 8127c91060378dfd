using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Source;

/// <summary>
/// What the destination has said on the return path so far, apart from requests for pages.
/// <code>
///   PONG 1    it reads: main and, at a QEMU, all multifd channels that it expects are there
///   PONG 2    all of the memory has arrived: only now may the last byte go; before a postcopy of a running guest, all that was sent of it
///   SHUT 0    the guest is there
///   SHUT 1..  it is not, and stays here
/// </code>
/// Without PONG 2, a destination that waits for something that never comes, while the socket buffers hold all of a small guest, would look
/// like one that is just about to run it.
/// </summary>
/// <remarks>Whoever reads the return path calls it; any thread may look.</remarks>
internal sealed class DestinationAnswers(SourceCustody custody, ILogger logger) : IPostcopySenderEvents
{
    public const uint OpeningPing = 1;
    public const uint MemoryPing = 2;

    private readonly TaskCompletionSource _memoryArrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _pongs;
    private int _vmStartedMessages;

    public int Pongs => Volatile.Read(ref _pongs);

    public int VmStartedMessages => Volatile.Read(ref _vmStartedMessages);

    /// <summary>Completes with the answer to <see cref="MemoryPing"/>.</summary>
    public Task MemoryArrived => _memoryArrived.Task;

    public void OnPong(uint value)
    {
        Interlocked.Increment(ref _pongs);
        if (value == MemoryPing)
        {
            _memoryArrived.TrySetResult();
        }
    }

    public void OnVmStarted()
    {
        Interlocked.Increment(ref _vmStartedMessages);
        MigrationLog.VmStarted(logger);
    }

    public void OnDevicesLoaded() => custody.On(SourceEvent.DevicesLoaded);

    public void OnBitmapReceived() => custody.On(SourceEvent.BitmapReceived);

    public void OnEverythingSent() => custody.On(SourceEvent.EverythingSent);
}
