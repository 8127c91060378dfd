using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

public sealed class GuestBinaryTests
{
    [Fact]
    public async Task The_guest_is_what_its_source_assembles_to()
    {
        var token = TestContext.Current.CancellationToken;
        var assembled = Path.GetTempFileName();
        try
        {
            Assert.SkipUnless(
                (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "as"))),
                    "binutils are not installed");
            await using var build = await ChildProcess.StartAsync("build", GuestDisk.BuildScript, [assembled]);
            Assert.True(await build.WaitForExitAsync(token: token) == 0, string.Join("\n", build.Errors.Snapshot()));
            Assert.Equal(await File.ReadAllBytesAsync(assembled, token), await File.ReadAllBytesAsync(GuestDisk.Binary, token));
        }
        finally
        {
            File.Delete(assembled);
        }
    }
}
