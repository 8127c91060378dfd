using System.Net;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class GuardConfigTests
{
    private static IReadOnlyList<VmSettings> Parse(string text) => GuardConfig.Parse("guard.conf", text.Split('\n'));

    [Fact]
    public void A_section_says_the_same_as_the_command_line()
    {
        var vm = Assert.Single(Parse("""
            # the web server
            [web1]
            listen = 0.0.0.0:49152
            to = unix:/run/vm/web1.sock
            channels = 4
            preempt = yes
            uuid = 11223344-5566-7788-99aa-bbccddeeff00
            max-undecided = 100
            undecided-timeout = 300ms
            allow = 10.0.0.0/8
            allow = 192.0.2.7
            any-peer = no
            tls-pass-through = yes
            tls-handshake-timeout = 2s
            """));
        Assert.Equal(new VmTls(null, null, null, null, PassThrough: true, TimeSpan.FromSeconds(2)), vm.Tls);
        Assert.Equal("web1", vm.Name);
        Assert.Equal("0.0.0.0:49152", vm.Listen.ToString());
        Assert.Null(vm.Qmp);
        Assert.Equal("unix:/run/vm/web1.sock", vm.To!.ToString());
        Assert.Equal(4, vm.Channels);
        Assert.True(vm.Preempt);
        Assert.Equal(new Guid("11223344-5566-7788-99aa-bbccddeeff00"), vm.Uuid);
        Assert.Equal(100, vm.MaxUndecided);
        Assert.Equal(100, vm.MaxUndecidedPerPeer);
        Assert.Equal(TimeSpan.FromMilliseconds(300), vm.UndecidedTimeout);
        Assert.Equal([IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("192.0.2.7/32")], vm.Allow);
        Assert.False(vm.AnyPeer);
    }

    [Fact]
    public void Lines_before_the_first_section_hold_for_every_VM_that_does_not_say_otherwise()
    {
        var vms = Parse("""
            undecided-timeout = 5s
            allow = 10.0.0.0/8
            any-peer = yes
            [a]
            listen = :1
            qmp = unix:/a
            [b]
            listen = :2
            qmp = unix:/b
            any-peer = no
            allow = 192.0.2.0/24
            """);
        Assert.Equal(["a", "b"], vms.Select(vm => vm.Name));
        Assert.All(vms, vm => Assert.Equal(TimeSpan.FromSeconds(5), vm.UndecidedTimeout));
        Assert.Equal([true, false], vms.Select(vm => vm.AnyPeer));
        Assert.Equal(["10.0.0.0/8", "192.0.2.0/24"], vms.Select(vm => vm.Allow.Single().ToString()));
    }

    [Theory]
    [InlineData("", "guard.conf: no section [NAME], so there is nothing to guard")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nwhat is this", "guard.conf:4: expected [NAME] or KEY = VALUE")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\ncolour = red", "guard.conf:4: no such key: 'colour'")]
    [InlineData("[a]\nname = b\nlisten = :1\nqmp = unix:/a", "guard.conf:2: no such key: 'name'")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nany-peer = maybe", "guard.conf:4: any-peer: 'maybe' is not yes or no")]
    [InlineData("\n[a]\nqmp = unix:/a", "guard.conf:2: [a]: --listen is needed: where the source connects")]
    [InlineData("[a]\nlisten = :1", "guard.conf:1: [a]: --qmp or --to is needed: the QEMU behind the guard")]
    [InlineData("[a]\nlisten = :99999\nqmp = unix:/a", "guard.conf:2: [a]: --listen: '99999' in ':99999' is not a port from 0 to 65535")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nallow = 10.0.0.0/33",
        "guard.conf:4: [a]: --allow: '10.0.0.0/33' is not a network as 10.0.0.0/8 or an address")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nuuid = 1234",
        "guard.conf:4: [a]: --uuid: '1234' is not a UUID; write 8-4-4-4-12 hexadecimal digits")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nmax-undecided = 1o0",
        "guard.conf:4: [a]: --max-undecided: '1o0' is not a number from 2 to 1048576")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nmax-undecided-per-peer =", "guard.conf:4: [a]: ")]
    [InlineData("max-undecided = 99999999999\n[a]\nlisten = :1\nqmp = unix:/a",
        "guard.conf:1: [a]: --max-undecided: '99999999999' is not a number from 2 to 1048576")]
    [InlineData("[a]\nlisten = :1\nto = :2\nchannels = four", "guard.conf:4: [a]: --channels: 'four' is not a number from 0 to 255")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\nundecided-timeout = soon", "guard.conf:4: [a]: --undecided-timeout: ")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\ntls-handshake-timeout = -1s", "guard.conf:4: [a]: --tls-handshake-timeout: ")]
    [InlineData("[a]\nlisten = \":1\nqmp = unix:/a", "guard.conf:2: the double quotes are not closed")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\n[a]\nlisten = :2\nqmp = unix:/b", "guard.conf:4: there is a section [a] already")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\n[b]\nlisten = :1\nqmp = unix:/b", "guard.conf:4: [b] listens where [a] does")]
    [InlineData("[a]\nlisten = :1\nqmp = unix:/a\n[b]\nlisten = :2\nqmp = unix:/a", "guard.conf:4: [b] guards the QEMU of [a]: unix:/a")]
    public void What_cannot_be_done_is_said_with_file_and_line(string text, string complaint) =>
        Assert.StartsWith(complaint, Assert.Throws<CommandException>(() => Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Comments_stand_on_lines_of_their_own_and_after_values_and_quotes_keep_what_looks_like_one()
    {
        var vm = Assert.Single(Parse("""
            ; every VM
            any-peer = yes ; for now
            [web 1]   # the first
            listen = :1	# a tab will do
            to = "unix:/run/a #1; b"  # quoted
            """));
        Assert.Equal(("web 1", ":1", "unix:/run/a #1; b"), (vm.Name, vm.Listen.ToString(), vm.To!.ToString()));
        Assert.True(vm.AnyPeer);
        Assert.Contains(
            "':1#x'", Assert.Throws<CommandException>(() => Parse("[a]\nlisten = :1#x\nqmp = unix:/a")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_is_never_taken_for_an_option_or_a_file_of_options()
    {
        Assert.Equal("guard.conf:2: [a]: --listen: '--qmp' has no port: write HOST:PORT",
            Assert.Throws<CommandException>(() => Parse("[a]\nlisten = --qmp\nto = :1")).Message);
        Assert.Equal("@b", Assert.Single(Parse("[@b]\nlisten = :1\nqmp = unix:/a")).Name);
    }

    [Fact]
    public void A_file_that_is_not_there_is_one_line() =>
        Assert.StartsWith(
            "--config: ", Assert.Throws<CommandException>(() => GuardConfig.Load("/no/such/file")).Message, StringComparison.Ordinal);

    [Fact]
    public void Settings_that_read_the_same_are_the_same_and_any_difference_shows()
    {
        const string Text = "[a]\nlisten = :1\nqmp = unix:/a\nallow = 10.0.0.0/8";
        var vm = Assert.Single(Parse(Text));
        Assert.True(vm.IsSameAs(Assert.Single(Parse("# later\n" + Text))));
        Assert.False(vm.IsSameAs(Assert.Single(Parse(Text + "\nallow = 192.0.2.0/24"))));
        Assert.False(vm.IsSameAs(Assert.Single(Parse(Text + "\nany-peer = yes"))));
        Assert.False(vm.IsSameAs(Assert.Single(Parse(Text + "\ntls-dir = /etc/tls"))));
    }
}
