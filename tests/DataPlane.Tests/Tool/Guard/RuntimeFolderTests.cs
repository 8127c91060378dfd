using System.Diagnostics;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

/// <summary>Folders in which somebody else can put sockets that answer for our commands.</summary>
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
public sealed class RuntimeFolderTests : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const int SomebodyElse = 65534;

    private readonly GuardTestFolder _folder = new();

    private string Folder => _folder.File("dataplane");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_missing_folder_is_made_for_its_owner_only()
    {
        RuntimeFolder.Prepare(Folder, isOwn: true);

        Assert.Equal(OwnerOnly, File.GetUnixFileMode(Folder));
        Assert.True(RuntimeFolder.IsTrusted(Folder));
    }

    [Theory]
    [InlineData(UnixFileMode.GroupWrite, "may be written by others")]
    [InlineData(UnixFileMode.OtherWrite, "may be written by others")]
    public void A_folder_in_which_others_may_write_is_not_used(UnixFileMode more, string reason)
    {
        Directory.CreateDirectory(Folder);
        File.SetUnixFileMode(Folder, OwnerOnly | more);

        AssertNotUsed(reason);
        RuntimeFolder.Prepare(Folder, isOwn: false); // whoever names a path has chosen its folder
    }

    [Fact]
    public void A_link_to_a_folder_is_not_used()
    {
        Directory.CreateDirectory(_folder.File("elsewhere"), OwnerOnly);
        File.CreateSymbolicLink(Folder, _folder.File("elsewhere"));

        AssertNotUsed("is no folder");
    }

    [Fact]
    public void A_folder_of_somebody_else_is_not_used_and_his_sockets_are_not_asked()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can give a folder away");
        // Not in a folder of root's alone, where root trusts a service.
        File.SetUnixFileMode(_folder.Path, OwnerOnly | UnixFileMode.OtherWrite);
        Directory.CreateDirectory(Folder, OwnerOnly);
        GiveAway(Folder);

        AssertNotUsed("belongs to another user (number 65534)");
    }

    [Fact]
    public void A_folder_that_only_root_can_have_given_to_a_service_is_asked_by_root()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can give a folder away");
        Directory.CreateDirectory(Folder, OwnerOnly);
        GiveAway(Folder);

        Assert.True(RuntimeFolder.IsTrusted(Folder));
        Assert.Throws<CommandException>(() => RuntimeFolder.Prepare(Folder, isOwn: true));
    }

    [Fact]
    public void A_socket_of_somebody_else_is_not_taken_over()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can give a socket away");
        var path = _folder.File("control.sock");
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(_folder.File("bound")));
            File.Move(_folder.File("bound"), path);
        }

        GiveAway(path);

        var error =
            Assert.Throws<CommandException>(() => ControlSocket.Open(path, "guard", static (_, _) => Task.CompletedTask));
        Assert.Contains("another user (number 65534)", error.Message, StringComparison.Ordinal);
        Assert.True(FileFacts.IsSocket(path));
    }

    [Fact]
    public async Task The_kernel_tells_whose_process_has_connected()
    {
        var path = _folder.File("control.sock");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(path), TestContext.Current.CancellationToken);
        using var accepted = await listener.AcceptAsync(TestContext.Current.CancellationToken);

        Assert.Equal(ProcessCalls.GetEffectiveUser(), ControlPeer.UserOf(accepted));
        Assert.Equal(ProcessCalls.GetEffectiveUser(), ControlPeer.UserOf(client));
    }

    private static void GiveAway(string path)
    {
        using var chown = Process.Start("chown", ["-h", $"{SomebodyElse}", path]);
        chown.WaitForExit();
        Assert.Equal(0, chown.ExitCode);
    }

    private void AssertNotUsed(string reason)
    {
        File.WriteAllText(Path.Combine(Directory.Exists(Folder) ? Folder : _folder.Path, "guard-1.sock"), "");
        Assert.False(RuntimeFolder.IsTrusted(Folder));
        var error = Assert.Throws<CommandException>(() => RuntimeFolder.Prepare(Folder, isOwn: true));
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(
            ControlPaths.Find(ControlPaths.Guard, name => name == "XDG_RUNTIME_DIR" ? _folder.Path : null),
            path => path.StartsWith(_folder.Path, StringComparison.Ordinal));
    }
}
