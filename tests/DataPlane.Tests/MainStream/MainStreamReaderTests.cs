using System.IO.Pipelines;
using CsCheck;
using DataPlane.Tests.MainStream.Devices;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream;

public sealed class MainStreamReaderTests
{
    [Fact]
    public async Task A_complete_stream_is_read_to_its_last_byte()
    {
        using var run = new StreamRun();
        var answers = await run.ReadAsync(RecordedStream.Complete().Bytes);
        Assert.Equal("pc-q35-11.1", run.Configuration!.MachineName);
        Assert.True(run.ReturnPathOpened);
        Assert.True(run.RamComplete);
        Assert.Equal([0, 2, 0, 4, 0, 0, 0, 1], answers); // PONG 1
        Assert.Equal(RecordedStream.PageContent(1), run.Page(0));
        Assert.Equal(RecordedStream.PageContent(2), run.Page(1));
        Assert.Equal(new byte[TargetPage.Size], run.Page(2));
        Assert.Equal(RecordedStream.PageContent(3), run.Page(3));
        Assert.Equal(4, run.Pages!.Count());
        Assert.Equal([9, 8, 7], run.Devices!.Unwrap("test").ToArray());
    }

    [Fact]
    public async Task Every_truncation_is_an_error_that_names_the_channel_and_never_a_guest()
    {
        var whole = RecordedStream.Complete().Bytes;
        for (var length = 0; length < whole.Length; length++)
        {
            using var run = new StreamRun();
            var failure = await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(whole[..length]));
            Assert.Equal("main", failure.Channel);
            Assert.Null(run.Devices);
        }
    }

    [Theory]
    [InlineData(WireLimits.MaxEarlySections, 8, FailureReason.MalformedStream)] // one more than a source sends before the RAM
    [InlineData(10, 128 * 1024, FailureReason.LimitExceeded)] // in all more than the device state may have
    public async Task Early_sections_are_bounded_in_number_and_size(int fitting, int bodyBytes, FailureReason reason)
    {
        var section = DeviceStreamBuilder.Section("early", new byte[bodyBytes], id: 9);
        var stream = new RecordedStream().Header();
        for (var i = 0; i < fitting + 2; i++)
        {
            stream.Raw(section);
        }

        using var run = new StreamRun();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(stream.Bytes));
        Assert.Equal(reason, failure.Reason);
        Assert.Null(run.Pages);
    }

    [Fact]
    public async Task A_stream_in_single_bytes_is_the_same_stream()
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0, minimumSegmentSize: 16));
        using var run = new StreamRun();
        var reading = run.ReadAsync(pipe.Reader);
        foreach (var one in RecordedStream.Complete().Bytes)
        {
            pipe.Writer.GetSpan(1)[0] = one;
            pipe.Writer.Advance(1);
            await pipe.Writer.FlushAsync(TestContext.Current.CancellationToken);
        }

        // The end of the stream is not needed: a source with a return path keeps the channel open.
        await reading.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        Assert.Equal(RecordedStream.PageContent(3), run.Page(3));
    }

    [Fact]
    public async Task A_changed_byte_is_an_error_or_changes_only_content()
    {
        var whole = RecordedStream.Complete().Bytes;
        await Gen.Select(Gen.Int[0, whole.Length - 1], Gen.Byte[1, 255]).SampleAsync(
            async (position, change) =>
            {
                var bytes = whole.ToArray();
                bytes[position] ^= change;
                using var run = new StreamRun();
                try
                {
                    await run.ReadAsync(bytes);
                }
                catch (ChannelException failure)
                {
                    Assert.NotEmpty(failure.Message);
                }
            },
            iter: 2000);
    }

    [Theory]
    [InlineData("block", "capability block")]
    [InlineData("0000:00:02.0/vfio", "assigned device")]
    [InlineData("0000:00:01.0/0000:01:00.0/vfio", "VFIO")]
    [InlineData("spapr/htab", "hash page table")]
    [InlineData("s390-stattrib", "CMMA")]
    [InlineData("s390-skeys", "storage keys")]
    [InlineData("acme\u001b[2J", "section 'acme\\x1B[2J' in pieces")]
    public async Task Each_foreign_section_is_refused_for_what_it_is(string name, string words)
    {
        foreach (var behind in (bool[])[false, true])
        {
            using var run = new StreamRun();
            var stream = new RecordedStream().Header();
            if (behind)
            {
                stream.Start();
            }

            var failure = await Assert.ThrowsAsync<ChannelException>(
                () => run.ReadAsync(stream.BeginStart(name, version: 1, id: 9).Bytes));
            Assert.Equal(FailureReason.NotSupported, failure.Reason);
            Assert.Contains(words, failure.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("dirty-bitmaps", failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_section_of_dirty_bitmaps_without_any_is_passed_over(bool first, bool ended)
    {
        var stream = new RecordedStream().Header().Command(CommandType.PostcopyAdvise);
        if (first)
        {
            stream.Foreign(SectionType.Start, 9, [1]);
        }

        stream.Start();
        if (!first)
        {
            stream.Foreign(SectionType.Start, 9, [1]);
        }

        stream.Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).EndSection();
        if (ended)
        {
            stream.Foreign(SectionType.Part, 9, [1]).Foreign(SectionType.End, 9, [1]);
        }

        using var run = new StreamRun();
        await run.ReadAsync(stream.Begin(SectionType.End).EndSection().Devices().Bytes);
        Assert.Equal(RecordedStream.PageContent(1), run.Page(0));
        Assert.Equal([9, 8, 7], run.Devices!.Unwrap("test").ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_dirty_bitmap_is_refused_by_its_name(bool atStart)
    {
        byte[] bitmap = [0x1C, 2, .. "d0"u8, 2, .. "b\n"u8, 0, 1, 0, 0, 1, 1];
        var stream = new RecordedStream().Header().Start().Foreign(SectionType.Start, 9, atStart ? bitmap : [1]);
        if (!atStart)
        {
            stream.Foreign(SectionType.Part, 9, bitmap);
        }

        using var run = new StreamRun();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(stream.Bytes));
        Assert.Equal(FailureReason.NotSupported, failure.Reason);
        Assert.Contains("dirty bitmap 'b\\x0A' of disk 'd0'", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("the same id as ram")]
    [InlineData("twice")]
    [InlineData("never started")]
    [InlineData("another version")]
    public async Task A_section_of_dirty_bitmaps_out_of_place_is_refused(string what)
    {
        var stream = new RecordedStream().Header().Start();
        stream = what switch
        {
            "the same id as ram" => stream.Foreign(SectionType.Start, RecordedStream.Section, [1]),
            "twice" => stream.Foreign(SectionType.Start, 9, [1]).Foreign(SectionType.Start, 10, [1]),
            "never started" => stream.Foreign(SectionType.Part, 9, [1]),
            _ => stream.Foreign(SectionType.Start, 9, [1], version: 2),
        };
        using var run = new StreamRun();
        await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(stream.Bytes));
        Assert.False(run.RamComplete);
    }

    [Fact]
    public async Task COLO_is_refused_by_its_name()
    {
        using var run = new StreamRun();
        var failure = await Assert.ThrowsAsync<ChannelException>(
            () => run.ReadAsync(new RecordedStream().Header().Command(CommandType.EnableColo).Bytes));
        Assert.Equal(FailureReason.NotSupported, failure.Reason);
        Assert.Contains("turn off capability x-colo", failure.Message, StringComparison.Ordinal);
        Assert.Null(run.Pages);
    }

    [Fact]
    public async Task Devices_behind_pages_without_an_end_are_a_background_snapshot()
    {
        using var run = new StreamRun();
        await run.ReadAsync(Snapshot(returnPath: false).Bytes);
        Assert.True(run.IsBackgroundSnapshot);
        Assert.True(run.RamComplete);
        Assert.Equal(RecordedStream.PageContent(1), run.Page(0));
        Assert.Equal([9, 8, 7], run.Devices!.Unwrap("test").ToArray());
    }

    [Fact]
    public async Task A_background_snapshot_that_ends_early_is_no_guest()
    {
        var whole = Snapshot(returnPath: false).Bytes;
        for (var length = whole.Length - 600; length < whole.Length; length++)
        {
            using var run = new StreamRun();
            await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(whole[..length]));
            Assert.Null(run.Devices);
        }
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_source_that_cannot_be_taking_a_snapshot_sends_no_device_between_its_pages(bool returnPath, bool multifd)
    {
        using var run = new StreamRun();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(Snapshot(returnPath).Bytes, multifd));
        Assert.Contains("a device section between the pages", failure.Message, StringComparison.Ordinal);
        Assert.False(run.IsBackgroundSnapshot);
    }

    [Fact]
    public async Task An_early_section_behind_the_block_list_is_none()
    {
        using var run = new StreamRun();
        await run.ReadAsync(new RecordedStream().Header().Start().Raw(DeviceStreamBuilder.Section("early", [1, 2, 3], id: 9))
            .Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).EndSection()
            .Begin(SectionType.End).EndSection().Devices().Bytes);
        Assert.False(run.IsBackgroundSnapshot);
    }

    private static RecordedStream Snapshot(bool returnPath)
    {
        var stream = new RecordedStream().Header();
        if (returnPath)
        {
            stream.Command(CommandType.OpenReturnPath);
        }

        return stream.Start().Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).EndSection().Devices();
    }

    [Fact]
    public async Task Zero_pages_clear_what_was_there()
    {
        using var run = new StreamRun();
        await run.ReadAsync(new RecordedStream().Header().Start()
            .Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).ZeroAgain(0).EndSection()
            .Begin(SectionType.End).EndSection().Devices().Bytes);
        Assert.Equal(new byte[TargetPage.Size], run.Page(0));
        Assert.False(run.Pages!.HoldingData(run.Pages.Memory.Blocks[0])[0]);
        Assert.True(run.Pages.Received(run.Pages.Memory.Blocks[0])[0]);
    }

    [Fact]
    public async Task An_xbzrle_delta_applies_to_what_was_sent_before()
    {
        var changed = RecordedStream.PageContent(1);
        byte[] fresh = [0xAA, 0xBB, 0xCC, 0xDD];
        fresh.CopyTo(changed, 16);
        using var run = new StreamRun();
        await run.ReadAsync(new RecordedStream().Header().Start()
            .Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).EndSection()
            .Begin(SectionType.End).Xbzrle(0, [16, 4, 0xAA, 0xBB, 0xCC, 0xDD]).EndSection().Devices().Bytes);
        Assert.Equal(changed, run.Page(0));
    }

    [Fact]
    public async Task A_compressed_page_is_one_page()
    {
        var text = new byte[TargetPage.Size];
        for (var i = 0; i < text.Length; i++)
        {
            text[i] = (byte)(i / 7);
        }

        using var run = new StreamRun();
        await run.ReadAsync(new RecordedStream().Header().Start()
            .Begin(SectionType.Part).Page(0, RecordedStream.PageContent(1)).Compressed(1, text).EndSection()
            .Begin(SectionType.End).EndSection().Devices().Bytes);
        Assert.Equal(text, run.Page(1));
    }

    public static TheoryData<string, FailureReason, string> BadStreams => new()
    {
        { "wrong magic", FailureReason.MalformedStream, "" },
        { "version 2", FailureReason.MalformedStream, "version" },
        { "unknown block", FailureReason.ProtocolViolation, "unknown RAM block 'nowhere'" },
        { "offset beyond", FailureReason.ProtocolViolation, "outside of block 'pc.ram'" },
        { "continue first", FailureReason.MalformedStream, "before any block was named" },
        { "page before list", FailureReason.MalformedStream, "before the list" },
        { "second list", FailureReason.MalformedStream, "second list" },
        { "fill byte", FailureReason.MalformedStream, "fill byte" },
        { "unknown flags", FailureReason.MalformedStream, "flags" },
        { "hook", FailureReason.MalformedStream, "" },
        { "too much ram", FailureReason.LimitExceeded, "allowed are" },
        { "block twice", FailureReason.MalformedStream, "listed twice" },
        { "too many devices", FailureReason.LimitExceeded, "device state is larger" },
        { "footer", FailureReason.MalformedStream, "footer" },
        { "unknown section", FailureReason.MalformedStream, "section type" },
        { "part not started", FailureReason.MalformedStream, "not started" },
        { "other iterable", FailureReason.NotSupported, "section 'acme'" },
        { "ram version", FailureReason.MalformedStream, "version 5" },
        { "packaged", FailureReason.NotSupported, "Packaged" },
        { "colo", FailureReason.NotSupported, "COLO" },
        { "ping length", FailureReason.MalformedStream, "Ping" },
        { "ping without return path", FailureReason.MalformedStream, "return path" },
        { "bad delta", FailureReason.MalformedStream, "page 0x0" },
        { "long compressed page", FailureReason.MalformedStream, "decompress" },
        { "xbzrle with multifd", FailureReason.ProtocolViolation, "XBZRLE" },
        { "late flush", FailureReason.ProtocolViolation, "FLUSH" },
        { "eof after ram start", FailureReason.MalformedStream, "section type" },
    };

    [Theory]
    [MemberData(nameof(BadStreams))]
    public async Task Bad_input_ends_the_migration_with_its_reason(string what, FailureReason reason, string words)
    {
        using var run = new StreamRun();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => run.ReadAsync(
            PipeReader.Create(new System.Buffers.ReadOnlySequence<byte>(Bad(what))),
            multifd: what is "xbzrle with multifd" or "late flush",
            maxDeviceStateBytes: 4096));
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        Assert.Equal(reason, failure.Reason);
        Assert.Equal("main", failure.Channel);
    }

    [Fact]
    public async Task The_sync_mode_is_told_from_the_first_section()
    {
        using var legacy = new StreamRun();
        await legacy.ReadAsync(
            new RecordedStream().Header().Start()
                .Begin(SectionType.Part).EndSection().Begin(SectionType.Part).EndSection()
                .Begin(SectionType.End).EndSection().Devices().Bytes,
            multifd: true);
        Assert.Equal(4, legacy.Marks);

        using var modern = new StreamRun();
        await modern.ReadAsync(
            new RecordedStream().Header().Start(flush: true)
                .Begin(SectionType.Part).EndSection()
                .Begin(SectionType.Part).Record(RamFlags.MultifdFlush, 0).EndSection()
                .Begin(SectionType.End).Record(RamFlags.MultifdFlush, 0).EndSection().Devices().Bytes,
            multifd: true);
        Assert.Equal(3, modern.Marks);

        using var without = new StreamRun();
        await without.ReadAsync(new RecordedStream().Header().Start(flush: true).Begin(SectionType.End).EndSection().Devices().Bytes);
        Assert.Equal(0, without.Marks);
    }

    private static byte[] Bad(string what)
    {
        var stream = new RecordedStream();
        var page = RecordedStream.PageContent(1);
        return what switch
        {
            "wrong magic" => stream.Raw("GET / HTTP/1.0\r\n\r\n"u8).Bytes,
            "version 2" => stream.Raw(0x51, 0x45, 0x56, 0x4D, 0, 0, 0, 2).Bytes,
            "unknown block" => stream.Header().Start().Begin(SectionType.Part).Page(0, page, "nowhere").Bytes,
            "offset beyond" => stream.Header().Start().Begin(SectionType.Part).Page(RecordedStream.Pages, page).Bytes,
            "continue first" => stream.Header().Start().Begin(SectionType.Part).PageAgain(0, page).Bytes,
            "page before list" => stream.Header().BeginStart().Page(0, page).Bytes,
            "second list" => stream.Header().Start().Begin(SectionType.Part).BlockList(("x", 4096)).Bytes,
            "fill byte" => stream.Header().Start().Begin(SectionType.Part).Page(0, page).ZeroAgain(1, fill: 7).Bytes,
            "unknown flags" =>
                stream.Header().Start().Begin(SectionType.Part).Record(RamFlags.Page | RamFlags.Zero, 0).Raw(new byte[300]).Bytes,
            "hook" => stream.Header().Start().Begin(SectionType.Part).Record(RamFlags.Hook, 0).Raw(new byte[300]).Bytes,
            "too much ram" => stream.Header().BeginStart().Record(RamFlags.MemorySize, 1L << 40).Bytes,
            "block twice" => stream.Header().BeginStart().BlockList(("a", 4096), ("a", 4096)).Bytes,
            "too many devices" => stream.Header().Start().Begin(SectionType.End).EndSection().Raw(new byte[8192]).Bytes,
            "footer" => stream.Header().Start().Begin(SectionType.Part).EndSection(id: 99).Bytes,
            "unknown section" => stream.Header().Raw(0x42).Bytes,
            "part not started" => stream.Header().Start().Begin(SectionType.Part, id: 77).EndSection().Bytes,
            "other iterable" => stream.Header().BeginStart("acme", version: 1).Bytes,
            "ram version" => stream.Header().BeginStart(version: 5).Bytes,
            "packaged" => stream.Header().Command(CommandType.Packaged, 0, 0, 0, 1).Bytes,
            "colo" => stream.Header().Command(CommandType.EnableColo).Bytes,
            "ping length" => stream.Header().Command(CommandType.OpenReturnPath).Command(CommandType.Ping, new byte[8]).Bytes,
            "ping without return path" => stream.Header().Ping(1).Bytes,
            "bad delta" => stream.Header().Start().Begin(SectionType.Part).Page(0, page).Xbzrle(0, [0xFF, 0xFF]).Bytes,
            "long compressed page" =>
                stream.Header().Start().Begin(SectionType.Part).Page(0, page).Compressed(0, new byte[TargetPage.Size + 1]).Bytes,
            "xbzrle with multifd" => stream.Header().Start(flush: true).Begin(SectionType.Part).Page(0, page).Xbzrle(0, [16, 1, 1]).Bytes,
            "late flush" => stream.Header().Start().Begin(SectionType.Part).Record(RamFlags.MultifdFlush, 0).Bytes,
            "eof after ram start" => stream.Header().Start().Raw(0).Bytes,
            _ => throw new ArgumentOutOfRangeException(nameof(what), what, null),
        };
    }
}
