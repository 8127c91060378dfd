using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration.Source;

/// <summary>
/// Sends the sections of ram: what frames the pages on main, the pages on whichever channels carry them, and the syncs in between. Disposed
/// of when the page senders have stopped.
/// </summary>
internal sealed class RamSections : IDisposable
{
    private readonly MainStreamWriter _writer;
    private readonly IPageSender _pages;
    private readonly MultifdSender? _multifd;
    private readonly ZeroPageRecords? _zeroRecords;
    private readonly QemuCompatibility _peer;
    private readonly CancellationToken _stopped;

    /// <summary>Gives the page senders their channels, which are all connected now.</summary>
    /// <param name="link">The link that begins the migration.</param>
    /// <param name="multifd">The multifd channels.</param>
    /// <param name="pages">Sends the pages.</param>
    /// <param name="limit">The rate limit of multifd channels; null for none.</param>
    /// <param name="peer">Tells how the destination synchronises.</param>
    /// <param name="pool">Gives blocks for zero records.</param>
    /// <param name="stopped">Cancelled when the migration fails.</param>
    public RamSections(
        MigrationLink link,
        ChannelSet multifd,
        IPageSender pages,
        SendLimit? limit,
        QemuCompatibility peer,
        BlockPool pool,
        CancellationToken stopped)
    {
        _writer = link.Writer;
        _pages = pages;
        _peer = peer;
        _stopped = stopped;
        switch (pages)
        {
            case MultifdSender sender:
                _multifd = sender;
                _zeroRecords = peer.TakesZeroPagesInPackets ? null : new ZeroPageRecords(link.Main, pool);
                sender.Attach(multifd.Now, _zeroRecords, limit);
                break;
            case MainPageSender sender:
                sender.Main = link.Main;
                break;
        }
    }

    /// <summary>Sends what comes before the first page: early device sections, and the list of RAM blocks.</summary>
    /// <param name="guest">The guest that is sent.</param>
    /// <param name="pageSizeOf">With postcopy, returns the page size of a block at the destination; null without.</param>
    public async Task SetUpAsync(IMigratableGuest guest, Func<RamBlock, long>? pageSizeOf)
    {
        _writer.WriteRaw(guest.EarlySections.Span);
        _writer.BeginRam(guest.Memory, pageSizeOf);
        await SyncAsync().ConfigureAwait(false);
        _writer.EndSection();
        await _writer.FlushAsync(_stopped).ConfigureAwait(false);
    }

    /// <summary>Sends one round of pages as one section of ram, and with multifd one sync.</summary>
    public async Task SendRoundAsync(PageFeed feed)
    {
        _writer.BeginPages(last: false);
        await _writer.FlushAsync(_stopped).ConfigureAwait(false);
        await _pages.SendRoundAsync(feed).ConfigureAwait(false);
        if (_zeroRecords is not null)
        {
            _writer.WriteRaw(_zeroRecords.TakeRest());
        }

        WriteMark();
        _writer.EndSection();
        await _writer.FlushAsync(_stopped).ConfigureAwait(false);
    }

    /// <summary>
    /// Ends the memory with an END section without pages, which leaves with what is written next. Between the last pages and this section
    /// stands a PING, whose PONG means that all pages have arrived.
    /// </summary>
    public async Task EndMemoryAsync()
    {
        _writer.WritePing(DestinationAnswers.MemoryPing);
        _writer.BeginPages(last: true);
        if (!_peer.SyncsAtFlushRecords)
        {
            await SyncAsync().ConfigureAwait(false);
        }

        _writer.EndSection();
    }

    public void Dispose() => _zeroRecords?.Dispose();

    /// <summary>
    /// Sends a sync without pages: SYNC on every multifd channel, and the mark on main unless the end of the section is the mark.
    /// </summary>
    private async Task SyncAsync()
    {
        if (_multifd is not null)
        {
            await _multifd.SendSyncAsync().ConfigureAwait(false);
            WriteMark();
        }
    }

    private void WriteMark()
    {
        if (_multifd is not null && _peer.SyncsAtFlushRecords)
        {
            _writer.WriteSyncMark();
        }
    }
}
