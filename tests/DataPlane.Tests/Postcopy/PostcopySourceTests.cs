using DataPlane.Memory;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class PostcopySourceTests
{
    private const long HugePage = 2 << 20;

    [Fact]
    public async Task Everything_goes_once_and_then_the_end()
    {
        await using var links = await Links.OpenAsync(preempt: false);
        var sent = links.Source.Start();
        links.Source.OnLoaded();
        await links.ReadMainToEndAsync();
        await sent;
        Assert.Equal(links.Memory.TotalPages, links.Main.Pages.Count);
        Assert.Equal(links.Memory.TotalPages, links.Main.Pages.Select(static page => (page.Block, page.Page)).Distinct().Count());
    }

    [Fact]
    public async Task What_is_asked_for_before_the_devices_are_loaded_goes_at_once_and_alone()
    {
        await using var links = await Links.OpenAsync(preempt: false);
        var sent = links.Source.Start();
        links.Source.OnRequest(links.Memory.Blocks[0], 900, 1);
        links.Source.OnRequest(links.Memory.Blocks[0], 900, 1);
        links.Source.OnRequest(links.Memory.Blocks[1], 3, 2);
        await links.ReadMainToEndAsync();
        await sent;
        Assert.Equal(
            [(0, 900L, 1), (1, 3L, 2), (1, 4L, 3)],
            links.Main.Pages.Take(3).Select(static page => (page.Block.Index, page.Page, page.Section)));
        Assert.Equal((3, 3), (links.Source.Requests, links.Source.RequestedPages));
        Assert.Equal(links.Memory.TotalPages, links.Main.Pages.Count);
    }

    [Fact]
    public async Task With_a_preempt_channel_requests_are_answered_there_while_main_is_full()
    {
        await using var links = await Links.OpenAsync(preempt: true);
        var sent = links.Source.Start();
        links.Source.OnLoaded();
        // Nobody reads main: its buffers fill, and the background stands still in the middle of something.
        var last = links.Memory.Blocks[0].PageCount - 1;
        links.Source.OnRequest(links.Memory.Blocks[0], last, 1);
        await links.Preempt!.ReadRecordAsync();
        Assert.Equal((links.Memory.Blocks[0], last), (links.Preempt.Pages[0].Block, links.Preempt.Pages[0].Page));
        Assert.False(sent.IsCompleted);
        await links.ReadMainToEndAsync();
        await sent;
        Assert.Equal(links.Memory.TotalPages - 1, links.Main.Pages.Count);
        Assert.DoesNotContain(links.Main.Pages, page => page.Block.Index == 0 && page.Page == last);
    }

    [Fact]
    public async Task Host_pages_are_never_split_over_channels_and_always_ascend()
    {
        await using var links = await Links.OpenAsync(preempt: true, hugePages: true);
        var sent = links.Source.Start();
        links.Source.OnLoaded();
        var urgent = Task.Run(() =>
        {
            foreach (var page in (long[])[3, 0, 7, 3, 5])
            {
                links.Source.OnRequest(links.Memory.Blocks[0], page * 512, 512);
            }
        }, TestContext.Current.CancellationToken);
        var preempt = links.ReadPreemptToEndAsync();
        await links.ReadMainToEndAsync();
        await Task.WhenAll(sent, urgent);
        await links.ClosePreemptAsync();
        await preempt;
        foreach (var channel in (List<(RamBlock Block, long Page, bool, int)>[])[[.. links.Main.Pages], [.. links.Preempt!.Pages]])
        {
            var huge = channel.Where(static page => page.Block.Index == 0).Select(static page => page.Page).ToArray();
            for (var i = 0; i < huge.Length; i++)
            {
                Assert.Equal(i % 512 == 0 ? huge[i] & -512 : huge[i - 1] + 1, huge[i]);
            }
        }

        Assert.Equal(links.Memory.TotalPages, links.Main.Pages.Count + links.Preempt.Pages.Count);
    }

    [Fact]
    public async Task A_page_known_to_be_zero_is_answered_also_after_the_end()
    {
        await using var links = await Links.OpenAsync(preempt: true, knownZero: true);
        var sent = links.Source.Start();
        links.Source.OnLoaded();
        await links.ReadMainToEndAsync();
        await sent;
        Assert.DoesNotContain(links.Main.Pages, static page => page.IsZero);
        links.Source.OnRequest(links.Memory.Blocks[0], 0, 1);
        await links.Preempt!.ReadRecordAsync();
        Assert.True(Assert.Single(links.Preempt.Pages).IsZero);
    }

    [Fact]
    public async Task An_early_preempt_channel_ends_with_its_record_and_is_used_only_when_the_devices_are_loaded()
    {
        await using var links = await Links.OpenAsync(preempt: true, early: true);
        var sent = links.Source.Start();
        links.Source.OnRequest(links.Memory.Blocks[0], 7, 1);
        await links.Main.ReadSectionAsync();
        Assert.Equal(7, Assert.Single(links.Main.Pages).Page);
        links.Source.OnLoaded();
        await links.ReadMainToEndAsync();
        await sent;
        Assert.Null(await links.Preempt!.ReadRecordAsync());
        links.Source.OnRequest(links.Memory.Blocks[0], 7, 1);
        await links.ClosePreemptAsync();
        await Assert.ThrowsAsync<EndOfStreamException>(() => links.Preempt.ReadRecordAsync());
    }

    [Fact]
    public async Task Where_a_lost_link_may_have_ended_the_preempt_channel_nothing_but_its_end_goes_there()
    {
        await using var links = await Links.OpenAsync(preempt: true, early: true, preemptIsOver: true);
        links.Source.OnLoaded();
        links.Source.OnRequest(links.Memory.Blocks[0], 7, 1); // before the background can claim that page
        Assert.False(links.Source.HasEndedPreempt);
        var sent = links.Source.Start();
        await links.ReadMainToEndAsync();
        await sent;
        Assert.Equal(links.Memory.TotalPages, links.Main.Pages.Count);
        Assert.Equal(1, links.Source.RequestedPages);
        Assert.Null(await links.Preempt!.ReadRecordAsync());
        Assert.True(links.Source.HasEndedPreempt);
        await links.ClosePreemptAsync();
        await Assert.ThrowsAsync<EndOfStreamException>(() => links.Preempt.ReadRecordAsync());
    }

    [Fact]
    public async Task Stopping_ends_the_background()
    {
        await using var links = await Links.OpenAsync(preempt: false);
        var sent = links.Source.Start();
        links.Source.Stop();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sent);
    }

    [Fact]
    public async Task A_lost_link_ends_the_background()
    {
        await using var links = await Links.OpenAsync(preempt: false);
        var sent = links.Source.Start();
        links.Source.OnLoaded();
        links.Reset();
        Assert.Equal(FailureReason.PeerReset, (await Assert.ThrowsAsync<ChannelException>(() => sent)).Reason);
    }

    private sealed class Links : IAsyncDisposable
    {
        private readonly ChannelPair _main;
        private readonly ChannelPair? _preempt;
        private readonly TestGuest _guest = TestGuest.Patterned(16 << 20);
        private readonly PostcopyChannels _channels;

        private Links(ChannelPair main, ChannelPair? preempt, bool hugePages, bool knownZero, bool early, bool preemptIsOver)
        {
            (_main, _preempt) = (main, preempt);
            Memory.Blocks[0].Span(0, 4096).Clear();
            var hostPages = new HostPages(Memory, hugePages ? new Dictionary<string, long> { ["pc.ram"] = HugePage } : null);
            var holdingData = knownZero ? HoldingData() : null;
            _channels = new PostcopyChannels(
                PageRecordSender.OnMain(main.Channel, main.Pool, 1, holdingData),
                preempt is null ? null : PageRecordSender.OnPreempt(preempt.Channel, preempt.Pool, holdingData))
            {
                EndsPreempt = early,
                MainUntilLoaded = early,
                PreemptIsOver = preemptIsOver,
            };
            var unsent = new GuestPageSet(Memory);
            unsent.SetAll();
            Source = new PostcopySource(
                new UnsentPages(unsent, hostPages, holdingData), _channels, limit: null, TimeProvider.System, () => { });
            Main = new RecordCollector(main.Peer.Socket, Memory);
            Preempt = preempt is null ? null : new RecordCollector(preempt.Peer.Socket, Memory);
        }

        public GuestMemory Memory => _guest.Memory;

        public PostcopySource Source { get; }

        public RecordCollector Main { get; }

        public RecordCollector? Preempt { get; }

        public static async Task<Links> OpenAsync(
            bool preempt, bool hugePages = false, bool knownZero = false, bool early = false, bool preemptIsOver = false)
        {
            var options = new ChannelOptions { SendBufferBytes = 65536 };
            var token = TestContext.Current.CancellationToken;
            return new Links(
                await ChannelPair.ConnectAsync(token, options: options),
                preempt ? await ChannelPair.ConnectAsync(token, options: options) : null,
                hugePages, knownZero, early, preemptIsOver);
        }

        public async Task ReadMainToEndAsync()
        {
            while (!Main.Ended)
            {
                await Main.ReadSectionAsync();
            }
        }

        public async Task ReadPreemptToEndAsync()
        {
            try
            {
                while (await Preempt!.ReadRecordAsync() is not null)
                {
                }
            }
            catch (EndOfStreamException)
            {
            }
        }

        public ValueTask ClosePreemptAsync() => _preempt!.Channel.DisposeAsync();

        public void Reset() => _main.Peer.Reset();

        public async ValueTask DisposeAsync()
        {
            _main.Channel.Abort();
            _preempt?.Channel.Abort();
            Source.Stop();
            _channels.Main.Dispose();
            _channels.Preempt?.Dispose();
            await _main.DisposeAsync();
            if (_preempt is not null)
            {
                await _preempt.DisposeAsync();
            }

            _guest.Dispose();
        }

        private GuestPageSet HoldingData()
        {
            var data = new GuestPageSet(Memory);
            foreach (var block in Memory.Blocks)
            {
                for (long page = 0; page < block.PageCount; page++)
                {
                    if (!ZeroPage.IsZero(block.Span(page * TargetPage.Size, TargetPage.Size)))
                    {
                        data[block].Set(page);
                    }
                }
            }

            return data;
        }
    }
}
