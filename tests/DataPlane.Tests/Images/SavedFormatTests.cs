using System.Text;
using DataPlane.Tests.Tool;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class SavedFormatTests
{
    [Theory]
    [InlineData("LibvirtQemudSave\u0002\0\0\0", "virsh save")]
    [InlineData("LibvirtQemudPart\u0002\0\0\0", "never finished")]
    [InlineData("BZh9", "bzip2")]
    [InlineData("KDUMP   ", "kdump")]
    [InlineData("\u007FELF\u0002", "ELF")]
    [InlineData("", "empty")]
    public Task The_kind_of_a_file_is_told(string start, string kind) => ToldAsync(Encoding.Latin1.GetBytes(start), kind);

    [Fact]
    public Task An_offset_of_a_saved_VM_is_told() =>
        ToldAsync([.. new byte[4096], .. "QEVM"u8, 0, 0, 0, 3, .. new byte[100]], "offset=4096");

    private static async Task ToldAsync(byte[] bytes, string kind)
    {
        var path = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(path, bytes, TestContext.Current.CancellationToken);
            foreach (var command in new string[][] { ["inspect", path], ["send", path, "127.0.0.1:1"] })
            {
                var run = await ToolRun.RunAsync(command, TestContext.Current.CancellationToken);
                Assert.Equal(1, run.ExitCode);
                Assert.Contains(kind, run.Error, StringComparison.Ordinal);
                Assert.Single(run.ErrorLines);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }
}
