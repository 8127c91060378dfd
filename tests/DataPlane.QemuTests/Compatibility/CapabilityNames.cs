using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>Capabilities by what they do to a stream.</summary>
internal static class CapabilityNames
{
    /// <summary>
    /// Those of this QEMU that are a matter of its own: the stream that it sends or takes is the same with and without them.
    /// </summary>
    public static IEnumerable<string> WithoutEffectOnTheWire(QemuVersion version) =>
        from capability in (string[])
            ["auto-converge", "zero-blocks", "release-ram", "late-block-activate", "postcopy-blocktime", "rdma-pin-all", "zero-copy-send"]
        where capability != "zero-blocks" || version != QemuVersion.V111 // gone since 10.1
        select capability;
}
