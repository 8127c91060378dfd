using System.Text.Json;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary><c>dataplane inspect</c>: blocks, devices and fields, for people and programs.</summary>
public sealed class InspectTests
{
    [Fact]
    public async Task People_see_blocks_devices_and_fields()
    {
        using var vm = new SavedFile("pc-q35-10.0");

        var run = await ToolRun.RunAsync(["inspect", vm.Path], TestContext.Current.CancellationToken);

        Assert.Equal(0, run.ExitCode);
        Assert.Empty(run.Error);
        Assert.Equal(
            """
            pc-q35-10.0, run state unknown, 2 devices

            pc.ram    4.00 MiB           256 pages of data   75.0 % zero
            pc.rom     128 KiB             0 pages of data  100.0 % zero
            all       4.13 MiB           256 pages of data   75.8 % zero

            cpu 0, version 12, 39 bytes
              regs[2]  uint64 (8)
              inner  struct (8)
                a  uint32 (4)
                b  uint32 (4)
              subsection cpu/more, version 1
                flag  bool (1)

            timer 0, version 2, 24 bytes
              data  buffer (24)

            """,
            run.Out);
    }

    [Fact]
    public async Task Programs_get_the_same_as_a_document()
    {
        using var vm = new SavedFile("pc-q35-10.0");

        var run = await ToolRun.RunAsync(["inspect", vm.Path, "--json", "-"], TestContext.Current.CancellationToken);

        Assert.Equal(0, run.ExitCode);
        var json = JsonElement.Parse(run.Out);
        Assert.Equal("dataplane.inspect/1", json.GetProperty("schema").GetString());
        Assert.Equal("ok", json.GetProperty("result").GetString());
        Assert.Equal(new FileInfo(vm.Path).Length, json.GetProperty("file_bytes").GetInt64());
        Assert.Equal("pc-q35-10.0", json.GetProperty("machine").GetString());
        Assert.Equal((4 << 20) + 0x20000, json.GetProperty("ram_bytes").GetInt64());
        var block = json.GetProperty("blocks")[0];
        Assert.Equal(("pc.ram", 4 << 20, 256, 768, 0.75), (
            block.GetProperty("name").GetString(), block.GetProperty("size_bytes").GetInt64(), block.GetProperty("data_pages").GetInt64(),
            block.GetProperty("zero_pages").GetInt64(), block.GetProperty("zero_share").GetDouble()));
        var cpu = json.GetProperty("devices")[0];
        Assert.Equal(12, cpu.GetProperty("version").GetInt64());
        var fields = cpu.GetProperty("state").GetProperty("fields");
        Assert.Equal(2, fields[0].GetProperty("count").GetInt64());
        Assert.Equal("b", fields[1].GetProperty("state").GetProperty("fields")[1].GetProperty("name").GetString());
        Assert.Equal("cpu/more", cpu.GetProperty("state").GetProperty("subsections")[0].GetProperty("name").GetString());
    }
}
