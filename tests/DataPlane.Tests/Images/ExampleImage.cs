using System.Buffers;
using DataPlane.Images;
using DataPlane.MainStream.Devices;
using DataPlane.Tests.MainStream.Devices;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Images;

/// <summary>The blocks of a minimal q35 guest of 64 MiB, as QEMU 11.1 lists them, and images made from them.</summary>
internal static class ExampleImage
{
    public static IReadOnlyList<RamBlockEntry> Blocks { get; } =
    [
        new("pc.ram", 64 << 20), new("/rom@etc/acpi/tables", 0x20000), new("pc.bios", 0x40000), new("pc.rom", 0x20000),
        new("/rom@etc/table-loader", 0x1000), new("/rom@etc/acpi/rsdp", 0x1000),
    ];

    public static MappedRamContents Contents { get; } = new() { MachineName = "pc-q35-10.0", Blocks = Blocks };

    public static DeviceState Devices
    {
        get
        {
            var stream = new DeviceStreamBuilder().Add("apic", new byte[40], id: 6, version: 3).Add("timer", new byte[24], id: 0).Stream;
            Assert.Equal(OperationStatus.Done, new DeviceStateSplitter().TryFinish(stream, true, out _, out var state, out _));
            return state!;
        }
    }

    public static SparseImage Build(MappedRamLayout layout, DeviceState devices)
    {
        var image = new SparseImage();
        foreach (var piece in layout.Pieces)
        {
            image.Write(piece.Offset, piece.Bytes.Span);
        }

        return image.Write(layout.TailOffset, layout.BuildTail(devices));
    }

    public static SparseImage Build() => Build(MappedRamLayout.Create(Contents), Devices);
}
