using System.CommandLine;
using System.Net;
using DataPlane.Wire;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Options that several commands take, spelled and explained once. Each call makes a new option: it belongs to one command.
/// </summary>
internal static class SharedOptions
{
    /// <summary>The most multifd channels: the id of a channel is one byte on the wire.</summary>
    public const int MaxChannels = 255;

    public static ToolOption<int?> Channels(int whenMissing) =>
        Options.Number("--channels", "multifd channels beside the main channel, 0 = none", 0, MaxChannels, whenMissing);

    public static Argument<string> SavedVm()
    {
        var file = new Argument<string>("FILE")
        {
            Description = "the saved VM: a mapped-ram file of 'receive', or of QEMU's own 'migrate file:'",
        };
        file.Validators.Add(static result => Options.RefuseEmpty(result, "FILE"));
        return file;
    }

    public static ToolOption<ChannelAddress?> Listen(string forms = "HOST:PORT, [v6]:PORT, :PORT or unix:PATH") =>
        Options.Address("--listen", "ADDR", $"where to listen: {forms}; port 0 takes a free one", required: true);

    public static ToolOption<string[]> Bind()
    {
        var bind = Options.Texts("--bind", "ADDR",
            "local address of the channels; repeat it to spread them over several NICs");
        bind.Validators.Add(static result =>
        {
            foreach (var token in result.Tokens)
            {
                if (!IPAddress.TryParse(token.Value, out _))
                {
                    result.AddError($"--bind: '{token.Value}' is not an IP address");
                }
            }
        });
        return bind;
    }

    public static ToolOption<ByteRate?> MaxBandwidth() =>
        Options.Rate("--max-bandwidth", "send no faster than this, all channels together");

    public static ToolOption<Duration?> MaxDowntime(TimeSpan whenMissing) =>
        Options.TimeWithUnit("--max-downtime", "longest pause of the guest at the switchover, with its unit: 300ms",
            new Duration(whenMissing));

    public static ToolOption<ByteSize?> MaxRam(string description) => Options.Size("--max-ram", description);

    public static ToolOption<Duration?> Timeout() =>
        Options.Time("--timeout", "give up after this long without progress (default: 10 minutes; the first channel is awaited for ever)");

    public static ToolOption<Duration?> UndecidedTimeout() =>
        Options.Time("--undecided-timeout",
            "longest time that a connection may stay undecided, and a migration without the next of its channels, at most 24h",
            new Duration(TimeSpan.FromSeconds(30)), longest: new Duration(TimeSpan.FromDays(1)));

    public static ToolOption<int?> Runs(int whenMissing) =>
        Options.Number("--runs", "measured runs; the median counts", 1, 10_000, whenMissing);

    public static ToolOption<Version?> Peer() =>
        Options.PeerVersion("--peer",
            $"QEMU version of the other side, {QemuCompatibility.Oldest} to {QemuCompatibility.Newest}, "
            + "where the machine type does not tell");

    public static ToolOption<string?> Machine() =>
        Options.Text("--machine", "NAME", "QEMU machine type as which the other side behaves, where its name carries no version");

    public static ToolOption<Guid?> Uuid() =>
        Options.Uuid("--uuid", "UUID of the VM, which multifd channels carry: as -uuid of the other side");

    public static ToolOption<Guid?> ExpectedUuid() =>
        Options.Uuid("--uuid", "UUID of the VM, where the other side says one (default: whatever it says)");

    public static ToolOption<bool> Postcopy(string description) => Options.Flag("--postcopy", description);

    public static ToolOption<bool> Preempt() =>
        Options.Flag("--preempt",
            "with --postcopy: pages that are asked for go over a connection of their own, which the other side must expect");
}
