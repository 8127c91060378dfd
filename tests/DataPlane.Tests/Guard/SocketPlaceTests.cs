using System.Net.Sockets;
using DataPlane.Guard.Order;
using DataPlane.Linux;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>The name is QEMU's to fill: what stands there may be anything.</summary>
public sealed class SocketPlaceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private string Name => Path.Combine(_folder, "incoming");

    [Fact]
    public void A_socket_is_reached_and_removed()
    {
        using var listener = Listen(Name);
        using var place = SocketPlace.Open(Name);
        using var pinned = place.Pin();

        // Whatever becomes of the name: it is this socket.
        File.Move(Name, Name + ".moved");
        using var other = Listen(Name);
        Connect(pinned.Address.Path!);

        Assert.True(listener.Poll(0, SelectMode.SelectRead));
        Assert.False(other.Poll(0, SelectMode.SelectRead));
        Assert.True(place.TryRemove());
        Assert.False(Path.Exists(Name));
        Assert.False(place.TryRemove());
    }

    [Fact]
    public void An_ordinary_file_is_neither_dialled_nor_removed()
    {
        File.WriteAllText(Name, "precious");
        using var place = SocketPlace.Open(Name);

        Assert.Equal(Errno.ENOTSOCK, Assert.Throws<LinuxException>(place.Pin).Errno);
        Assert.False(place.TryRemove());
        Assert.Equal("precious", File.ReadAllText(Name));
    }

    [Fact]
    public void A_link_to_a_socket_of_somebody_else_leads_nowhere()
    {
        var elsewhere = Path.Combine(_folder, "docker.sock");
        using var listener = Listen(elsewhere);
        File.CreateSymbolicLink(Name, elsewhere);
        using var place = SocketPlace.Open(Name);

        Assert.Throws<LinuxException>(place.Pin);
        Assert.False(place.TryRemove());
        Assert.True(Path.Exists(elsewhere));
        Assert.False(listener.Poll(0, SelectMode.SelectRead));
    }

    [Fact]
    public void The_folder_that_was_opened_counts_and_not_what_its_name_leads_to_now()
    {
        var folder = Path.Combine(_folder, "vm");
        var elsewhere = Path.Combine(_folder, "etc");
        Directory.CreateDirectory(folder);
        Directory.CreateDirectory(elsewhere);
        using var place = SocketPlace.Open(Path.Combine(folder, "s"));
        using var victim = Listen(Path.Combine(elsewhere, "s"));
        Directory.Delete(folder);
        Directory.CreateSymbolicLink(folder, elsewhere);

        Assert.False(place.TryRemove());
        Assert.True(Path.Exists(Path.Combine(elsewhere, "s")));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen(1);
        return socket;
    }

    private static void Connect(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
    }
}
