using DataPlane.Linux;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A block of four reserved huge pages, and what places them.</summary>
internal sealed class HugePageScene : IDisposable
{
    public const int HugePage = (int)MemoryMapping.HugePageSize;
    public const int PageCount = 4;

    private readonly ReservedHugePages _reserved;

    public HugePageScene(bool shared, bool arm = true)
    {
        LiveGuest.RequireUserfaultfd();
        _reserved = ReservedHugePages.For(PageCount * HugePage);
        Block = RamBlock.Allocate(
            "pc.ram", PageCount * HugePage, RamAllocation.Default with { HostPageSize = HugePage, Shared = shared });
        Pages = new ReceivedPages(new GuestMemory([Block]));
        Ledger = new PageLedger(Pages, static _ => HugePage);
        Live = new UserfaultPageStore(Pages, Ledger);
        Arrivals = new PageArrivals(Live, Ledger, NullLogger.Instance);
        if (arm)
        {
            Arm();
        }
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public RamBlock Block { get; }

    public ReceivedPages Pages { get; }

    public PageLedger Ledger { get; }

    public UserfaultPageStore Live { get; }

    public PageArrivals Arrivals { get; }

    public PostcopyReturnPath ReturnPath { get; } = new();

    public void Arm()
    {
        try
        {
            UserfaultPageStore.CheckBlocks(Pages.Memory);
            Live.Arm();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public byte[] Read(int page)
    {
        var bytes = new byte[HugePage];
        ForeignTouch.Read(Block.Address + (page * HugePage), bytes);
        return bytes;
    }

    public Task<byte[]> TouchAsync(int page) => Task.Factory.StartNew(
        () => Read(page), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default).WaitAsync(TimeSpan.FromSeconds(30), Token);

    public FaultReader ReadFaults(ChannelPair pair)
    {
        ReturnPath.Use(pair.Channel);
        ReturnPath.AllowRequests(Ledger);
        return new FaultReader(Live, Ledger, ReturnPath, static failure => Assert.Fail(failure.ToString()));
    }

    public void Dispose()
    {
        Live.Release();
        Pages.Memory.Dispose();
        _reserved.Dispose();
    }
}
