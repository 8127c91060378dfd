using System.Text;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Guard;

namespace DataPlane.Fuzz.Targets;

/// <summary>The guard's file of VMs.</summary>
internal sealed class GuardConfigTarget : IFuzzTarget
{
    public string Reads => "the guard's configuration file (GuardConfig)";

    public int MaxInputBytes => 1024;

    // The options of a command are made anew for each section.
    public long MaxAllocatedBytes => 8 << 20;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var lines = Encoding.UTF8.GetString(input).Split('\n');
        try
        {
            var vms = GuardConfig.Parse("guard.conf", lines);
            Oracle.Holds(vms.Count > 0 && vms.DistinctBy(vm => vm.Name).Count() == vms.Count);
            Oracle.Holds(vms.All(vm => vm.MaxUndecided >= vm.Channels + 2 && vm.MaxUndecidedPerPeer <= vm.MaxUndecided
                && vm.UndecidedTimeout > TimeSpan.Zero && (vm.Qmp is null) != (vm.To is null)));
            return true;
        }
        catch (CommandException refusal)
        {
            Oracle.Holds(refusal.Message.Contains("guard.conf", StringComparison.Ordinal));
            return false;
        }
    }
}
