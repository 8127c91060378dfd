using System.Globalization;
using DataPlane.Tool.Output;
using DataPlane.Wire;

namespace DataPlane.Tool.Guard;

/// <summary>Writes VMs and their channels for a person.</summary>
internal static class StatusTable
{
    public static void Write(TextWriter output, IReadOnlyList<VmStatus> vms)
    {
        var isFirst = true;
        foreach (var vm in vms)
        {
            if (!isFirst)
            {
                output.WriteLine();
            }

            isFirst = false;
            Write(output, vm);
        }
    }

    /// <summary>Sums up all VMs in a few words, for a progress line and the service manager.</summary>
    public static string Summarize(IReadOnlyList<VmStatus> vms)
    {
        if (vms is [VmStatus only])
        {
            return Describe(only);
        }

        var states = vms.GroupBy(static vm => vm.State)
            .Select(static state => $"{state.Count()} {UntrustedText.Escape(state.Key)}");
        return vms.Count == 0 ? "no VM" : $"{vms.Count} VMs: {string.Join(", ", states)}";
    }

    private static string Describe(VmStatus vm)
    {
        var open = vm.Channels.Count(static channel => channel.State != "closed");
        var channels = open == 0 ? "" : $", {Count(open, "channel")}";
        return $"{UntrustedText.Escape(vm.Name)} {UntrustedText.Escape(vm.State)}{channels}{Strangers(vm)}";
    }

    private static void Write(TextWriter output, VmStatus vm)
    {
        var qemu = vm.QemuVersion is { } version ? $", QEMU {UntrustedText.Escape(version)}" : "";
        var name = UntrustedText.Escape($"{vm.Name}  {vm.Listen}  {vm.State}");
        output.WriteLine($"{name}{qemu}{Strangers(vm)}");
        if (vm.Error is { } error)
        {
            output.WriteLine($"  {CommandLine.OneLine.Of(error)}");
        }

        var width = vm.Channels.Select(static channel => (channel.Peer ?? "-").Length).DefaultIfEmpty().Max();
        foreach (var channel in vm.Channels)
        {
            var kind = channel.Kind == "multifd" ? string.Create(CultureInfo.InvariantCulture, $"multifd {channel.Id}") : channel.Kind;
            var peer = UntrustedText.Escape(channel.Peer ?? "-");
            var rate = channel.BytesPerSecond > 0 && channel.State != "closed" ? "  " + Human.Rate(channel.BytesPerSecond) : "";
            output.WriteLine(
                $"  {UntrustedText.Escape(kind),-11}  {peer.PadRight(width)}  {Human.Bytes(channel.InBytes),10} in  "
                + $"{Human.Bytes(channel.OutBytes),10} out  {UntrustedText.Escape(channel.State)}{rate}");
        }
    }

    private static string Strangers(VmStatus vm)
    {
        var undecided = vm.Undecided == 0 ? "" : $", {vm.Undecided} undecided";
        var candidates = vm.Candidates == 0 ? "" : $" ({Count(vm.Candidates, "candidate")})";
        var refused = vm.Refused.Values.Sum();
        var reasons = string.Join(", ", vm.Refused.OrderByDescending(static entry => entry.Value)
            .Select(static entry => $"{entry.Value} {UntrustedText.Escape(entry.Key.Replace('_', ' '))}"));
        return undecided + candidates + (refused == 0 ? "" : $", {refused} refused ({reasons})");
    }

    private static string Count(int count, string noun) => $"{count} {noun}{(count == 1 ? "" : "s")}";
}
