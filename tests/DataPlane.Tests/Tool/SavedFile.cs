using System.Buffers;
using DataPlane.Images;
using DataPlane.MainStream.Devices;
using DataPlane.Tests.MainStream.Devices;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>A small saved VM in a folder of its own: 4 MiB, of which the first megabyte holds data.</summary>
internal sealed class SavedFile : IDisposable
{
    private const string Fields =
        """
        [{"name": "regs", "type": "uint64", "size": 8, "array_len": 2},
         {"name": "inner", "type": "struct", "size": 8, "struct": {"vmsd_name": "part", "version": 3,
           "fields": [{"name": "a", "type": "uint32", "size": 4}, {"name": "b", "type": "uint32", "size": 4}]}}]
        """;

    private const string Subsections =
        """[{"vmsd_name": "cpu/more", "version": 1, "fields": [{"name": "flag", "type": "bool", "size": 1}], "subsections": []}]""";

    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    public SavedFile(string machine)
    {
        var stream = new DeviceStreamBuilder()
            .Add("cpu", new byte[24 + 6 + 8 + 1], Fields, id: 3, version: 12, subsections: Subsections)
            .Add("timer", new byte[24], id: 0, version: 2).Stream;
        Assert.Equal(OperationStatus.Done, new DeviceStateSplitter().TryFinish(stream, true, out _, out var devices, out _));
        var layout = MappedRamLayout.Create(new MappedRamContents
        {
            MachineName = machine,
            Blocks = [new("pc.ram", 4 << 20), new("pc.rom", 0x20000)],
        });
        using var file = File.OpenHandle(Path, FileMode.CreateNew, FileAccess.ReadWrite);
        foreach (var piece in layout.Pieces)
        {
            RandomAccess.Write(file, piece.Bytes.Span, piece.Offset);
        }

        var block = layout.Blocks[0];
        RandomAccess.Write(file, Enumerable.Repeat((byte)0xFF, 256 / 8).ToArray(), block.BitmapOffset);
        RandomAccess.Write(file, Enumerable.Repeat((byte)0xAB, 1 << 20).ToArray(), block.PagesOffset);
        RandomAccess.Write(file, layout.BuildTail(devices!), layout.TailOffset);
    }

    public string Path => System.IO.Path.Combine(_folder, "vm");

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
