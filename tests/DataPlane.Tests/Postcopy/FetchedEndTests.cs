using DataPlane.Tests.MainStream;
using DataPlane.TestSupport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>A guest that is fetched for a host that does not run it, and the fetch is cancelled.</summary>
public sealed class FetchedEndTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);
    private static readonly byte[] s_shut = Message(static bytes => ReturnPathWriter.WriteShut(bytes, 1));

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// A source closes as soon as it has heard SHUT 1. A destination that sent another one met a closed connection, took the guest for one
    /// that is still to be given back, and waited for a source that runs its guest and never comes again.
    /// </summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task The_source_hears_of_it_once_whatever_links_were_lost(int losses)
    {
        using var guest = new TestIncomingGuest();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var options = new MigrationDestinationOptions { Postcopy = true };
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], guest, options);
        var receiving = destination.ReceiveAsync(cancellationToken: cancel.Token);
        var main = ScriptedPeer.Connect(destination.LocalAddresses[0]).Send(Switched());
        await ScriptedSource.ExpectPongsAsync(main, 1, 3);
        for (var loss = 0; loss < losses; loss++)
        {
            main.Reset();
            main = await RecoverAsync(destination);
        }

        await cancel.CancelAsync();
        main.Send(Everything());
        var (_, said) = await main.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
        main.Dispose();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving).WaitAsync(s_patience, Token);
        Assert.Equal(said.Length - s_shut.Length, said.AsSpan().IndexOf(s_shut));
        Assert.False(destination.MayReturnGuest);
        Assert.NotNull(guest.Abandoned);
    }

    /// <summary>Of a machine type that does not take its guest back by itself, and with the PING of a QEMU up to 10.1.</summary>
    private static byte[] Switched()
    {
        var advised = ScriptedSource.Advised(machine: "pc-q35-7.2");
        var discarded = ScriptedSource.Discard(advised, RecordedStream.Block, 0, RecordedStream.Pages);
        return ScriptedSource.Package(ScriptedSource.Discard(discarded, "other", 0, 1), 3).Bytes;
    }

    private static async Task<ScriptedPeer> RecoverAsync(MigrationDestination destination)
    {
        var main = ScriptedPeer.Connect(destination.LocalAddresses[0]).Send(ScriptedSource.Questions());
        await ScriptedSource.ExpectBitmapAsync(main, RecordedStream.Block, 0);
        await ScriptedSource.ExpectBitmapAsync(main, "other", 0);
        main.Send(new RecordedStream().Command(CommandType.PostcopyResume).Bytes);
        await ScriptedSource.ExpectAsync(main, static bytes => ReturnPathWriter.WriteResumeAck(bytes));
        return main;
    }

    private static byte[] Everything()
    {
        var part = new RecordedStream().Begin(SectionType.Part);
        for (var page = 0; page < RecordedStream.Pages; page++)
        {
            part.Page(page, RecordedStream.PageContent((byte)page));
        }

        return part.EndSection().Begin(SectionType.End).Page(0, RecordedStream.PageContent(9), "other").EndSection().Raw(0).Bytes;
    }

    private static byte[] Message(Func<byte[], int> write)
    {
        var message = new byte[ReturnPathWriter.MaxSize];
        return message[..write(message)];
    }
}
