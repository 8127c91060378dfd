using DataPlane.GuardPair;
using DataPlane.Linux;

namespace DataPlane.PostcopyPair;

/// <summary>
/// What no postcopy can do without: a request, the page over another connection, and one copy of it to its place by the kernel. No fault,
/// and nobody to wake.
/// </summary>
internal static class BareFaultLeg
{
    public const string Leg = "bare";

    // The first ones find cold code and connections that start slowly.
    private const int WarmUp = 200;

    public static Task<FaultSample> RunAsync(FaultCase about, int run, CancellationToken token) => Task.Run(() => Run(about, run), token);

    private static unsafe FaultSample Run(FaultCase about, int run)
    {
        var pages = about.IsHuge ? 500 : 20_000;
        using var memory = about.IsHuge
            ? MemoryMapping.OfReservedHugePages(about.PageBytes * pages, shared: false)
            : MemoryMapping.Anonymous(about.PageBytes * pages);
        using var faults = Userfaultfd.OpenForMissingPages();
        faults.Register(memory.Address, memory.Length, UserfaultRegister.ModeMissing);
        var page = 0;
        void Place(int number, ReadOnlySpan<byte> bytes)
        {
            // SAFETY: the bytes are fixed for the call.
            fixed (byte* source = bytes)
            {
                var errno = faults.Copy(memory.Address + (nint)(about.PageBytes * page++), (nint)source, about.PageBytes, out _);
                if (errno != 0)
                {
                    throw new LinuxException("ioctl(UFFDIO_COPY)", errno);
                }
            }
        }

        using var exchange = new PageExchange((int)about.PageBytes, Place);
        var samples = exchange.Run(exchange.Port, pages, about.Busy);
        return FaultSample.From(Leg, run, about, samples[WarmUp..]);
    }
}
