using System.Buffers;
using System.Text;
using CsCheck;
using DataPlane.MainStream.Devices;
using DataPlane.Tests.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream.Devices;

public sealed class DeviceStateSplitterTests
{
    private static DeviceStreamBuilder Guest() => new DeviceStreamBuilder()
        .Add("timer", new byte[24], """[{"name": "a", "size": 8}, {"name": "b", "size": 8, "array_len": 2}]""", id: 0, version: 2)
        .Add("0000:00:1f.2/ich9_ahci", [1, 2, 3, 4, 5, 6, 7], id: 0x21, instance: 3)
        .Add("globalstate", new byte[104], id: 0x27);

    [Fact]
    public void Sections_are_found_with_name_instance_version_and_place()
    {
        var guest = Guest();
        var state = SplitOk(guest.Stream);
        Assert.Equal(guest.Sections, state.Sections.ToArray());
        Assert.Equal(guest.Json, Encoding.UTF8.GetString(state.Description.Span));
        Assert.True(state.EarlySections.IsEmpty);
        Assert.Equal(["timer", "0000:00:1f.2/ich9_ahci", "globalstate"], state.Devices.Select(d => d.Name));
        var ahci = state.Devices[1];
        Assert.Equal((3u, 1u, 7), (ahci.Instance, ahci.Version, ahci.Length));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7], state.Sections.Slice(ahci.Offset, ahci.Length).ToArray());
        Assert.Equal(2u, state.Devices[0].Version);
    }

    [Fact]
    public void It_does_not_matter_where_the_stream_is_cut_into_pieces()
    {
        var stream = Guest().Stream;
        for (var cut = 0; cut < stream.Length; cut++)
        {
            var splitter = new DeviceStateSplitter();
            Assert.Equal(OperationStatus.NeedMoreData, splitter.TryFinish(stream.AsSpan(0, cut), false, out _, out _, out _));
            Assert.Equal(OperationStatus.Done, splitter.TryFinish(stream, false, out var consumed, out var state, out _));
            Assert.Equal(stream.Length, consumed);
            Assert.Equal(3, state!.Devices.Count);
        }
    }

    [Fact]
    public void Byte_by_byte_only_the_last_one_completes_it()
    {
        var stream = Guest().Stream;
        var splitter = new DeviceStateSplitter();
        for (var length = 0; length < stream.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, splitter.TryFinish(stream.AsSpan(0, length), false, out _, out _, out _));
        }

        Assert.Equal(OperationStatus.Done, splitter.TryFinish(stream, false, out _, out _, out _));
    }

    [Fact]
    public void An_end_at_any_byte_is_a_truncated_stream()
    {
        var stream = Guest().Stream;
        var sections = Guest().Sections.Length;
        for (var cut = 0; cut < stream.Length; cut++)
        {
            var expected = cut == sections + 1 ? "suppress-vmdesc" : $"ended inside the device state, after {cut} bytes";
            Refused(stream[..cut], expected);
        }
    }

    [Fact]
    public void Subsections_arrays_and_old_style_devices_are_measured()
    {
        byte[] nested = [.. new byte[4], 5, 4, .. "d/ab"u8, 0, 0, 0, 1, 9, 9, 5, 6, .. "d/ab/c"u8, 0, 0, 0, 1, .. new byte[21]];
        var state = SplitOk(new DeviceStreamBuilder()
            .Add("d", nested, """[{"name": "a", "size": 4}]""", subsections: """
                [{"vmsd_name": "d/ab", "version": 1, "fields": [{"name": "x", "size": 2}], "subsections": [
                  {"vmsd_name": "d/ab/c", "version": 1, "fields": [{"name": "y", "size": 7, "array_len": 3}]}]}]
                """)
            .AddSection("slirp", new byte[77]).Describe(
                """{"name": "slirp", "instance_id": 0, "size": 77, "fields": [{"name": "data", "size": 77}]}""")
            .Add("last", new byte[30],
                """[{"name": "s", "type": "struct", "struct": {"fields": [{"name": "no", "size": 500}]}, "size": 30}]""").Stream);
        Assert.Equal([nested.Length, 77, 30], state.Devices.Select(d => d.Length));
    }

    [Fact]
    public void False_ends_inside_device_state_are_passed_over()
    {
        string[] disguises =
        [
            """{"page_size": 4096, "devices": []}""",
            """{"page_size": 4096, "devices": [{"name": "timer", "instance_id": 0, "size": 3}]}""",
            """{"not even": json at all........""",
            """{"devices": [{"name": "timer", "instance_id": 0, "size": 99999999999999999}]}""",
        ];
        byte[] body =
            [.. disguises.SelectMany(DeviceStreamBuilder.Description), .. Hex.Bytes("00 06 00 00 00 06 00 06 00 06 00 00 00 10 7B 22")];
        var stream = new DeviceStreamBuilder().Add("timer", [1, 2, 3, 0x7E, 0, 0, 0, 7, .. body]).Add("b", body).Stream;
        var state = SplitOk(stream);
        Assert.Equal(body.Length, state.Devices[1].Length);
        ByteByByte(stream);
    }

    [Fact]
    public void A_false_end_that_asks_for_bytes_that_never_come_does_not_hold_up_the_true_one()
    {
        var stream = new DeviceStreamBuilder().Add("a", Hex.Bytes("00 06 04 00 00 00 7B 22 41 42 43")).Stream;
        Assert.Equal(11, Assert.Single(SplitOk(stream).Devices).Length);
        ByteByByte(stream);
    }

    [Fact]
    public void Descriptions_out_of_range_are_no_ends()
    {
        var stream = new DeviceStreamBuilder()
            .Add("a", Hex.Bytes("00 06 00 00 00 0F 7B 22 00 06 04 00 00 01 7B 22 00 06 FF FF FF FF 7B 22")).Stream;
        Assert.Equal(24, Assert.Single(SplitOk(stream).Devices).Length);
    }

    [Fact]
    public void Wrong_sizes_are_made_up_for_by_names()
    {
        byte[] body = [1, 2, 3, 0x7E, 0, 0, 0, 9, 4, 5];
        var state = SplitOk(new DeviceStreamBuilder()
            .AddSection("a", body, id: 9).Describe("""{"name": "a", "instance_id": 0, "size": 4}""")
            .AddSection("b", body, id: 9, instance: 2).Describe("""{"name": "b", "instance_id": 2, "size": 9223372036854775807}""")
            .AddSection("c", [.. body, 0x7E, 0, 0, 0, 9], id: 9).Describe("""{"name": "c", "instance_id": 0, "size": 0}""").Stream);
        Assert.Equal([10, 10, 15], state.Devices.Select(d => d.Length));
    }

    [Fact]
    public void A_footer_before_the_header_of_another_section_is_not_the_end()
    {
        byte[] body = [1, 0x7E, 0, 0, 0, 9, .. DeviceStreamBuilder.Section("b", [], instance: 3), .. DeviceStreamBuilder.Section("c", [])];
        var state = SplitOk(new DeviceStreamBuilder()
            .AddSection("a", body, id: 9).Describe("""{"name": "a", "instance_id": 0, "size": 4}""")
            .AddSection("b", [5]).Describe("""{"name": "b", "instance_id": 0, "size": 4}""").Stream);
        Assert.Equal([body.Length, 1], state.Devices.Select(d => d.Length));
    }

    [Fact]
    public void Names_are_trusted_only_when_nothing_follows_the_description()
    {
        var stream = new DeviceStreamBuilder().AddSection("a", [1]).Describe("""{"name": "a", "instance_id": 0, "size": 4}""").Stream;
        Assert.Equal(OperationStatus.Done, new DeviceStateSplitter().TryFinish(stream, false, out _, out _, out _));
        Refused([.. stream, 0x55], "device 'a' (instance 0) is described with 4 bytes, 1 are left");
    }

    [Theory]
    [InlineData("""{"name": "x", "instance_id": 0, "size": 1}""", "section 'a' stands where device 'x' (instance 0) should")]
    [InlineData("""{"name": "a", "instance_id": 5, "size": 1}""", "section 'a' stands where device 'a' (instance 5) should")]
    [InlineData(
        """{"name": "a", "instance_id": 0, "size": 1}, {"name": "b", "instance_id": 0, "size": 1}""", "there is no section of device 'b'")]
    [InlineData("", "names no device, but there are 21 bytes")]
    public void The_first_device_that_does_not_fit_is_named(string devices, string because) =>
        Refused(
            [
                .. DeviceStreamBuilder.Section("a", [1]),
                .. DeviceStreamBuilder.Description($$"""{"page_size": 4096, "devices": [{{devices}}]}"""),
            ],
            because);

    [Fact]
    public void A_wrong_size_in_the_middle_is_named_when_names_do_not_help_either() =>
        Refused(
            new DeviceStreamBuilder().Add("a", [1]).AddSection("b", [1, 2, 3]).Describe("""{"name": "b", "instance_id": 0, "size": 2}""")
                .Describe("""{"name": "c", "instance_id": 0, "size": 2}""").Stream,
            "device 'b' (instance 0) does not end after the 2 bytes of its description");

    [Fact]
    public void Bytes_behind_the_last_device_are_named() =>
        Refused(
            [.. DeviceStreamBuilder.Section("a", [1]), .. DeviceStreamBuilder.Section("b", [1]),
                .. DeviceStreamBuilder.Description("""{"devices": [{"name": "a", "instance_id": 0, "size": 1}]}"""), 0],
            "21 bytes follow device 'a'");

    [Fact]
    public void Sections_received_early_are_skipped_in_the_description()
    {
        EarlySection[] early = [Early("0000:00:01.0/virtio-mem-device-early"), Early("0000:00:02.0/virtio-mem-device-early")];
        var guest = new DeviceStreamBuilder()
            .Describe("""{"name": "0000:00:01.0/virtio-mem-device-early", "instance_id": 0, "size": 3}""")
            .Describe("""{"name": "0000:00:02.0/virtio-mem-device-early", "instance_id": 0, "size": 3}""")
            .Add("timer", new byte[24]);
        var state = SplitOk(guest.Stream, new DeviceStateSplitter(earlySections: early));
        Assert.Equal("timer", Assert.Single(state.Devices).Name);
        Assert.Equal([.. early[0].Bytes, .. early[1].Bytes], state.EarlySections.ToArray());

        Assert.Equal(OperationStatus.InvalidData, new DeviceStateSplitter().TryFinish(guest.Stream, true, out _, out _, out var error));
        Assert.Contains("virtio-mem-device-early", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"page_size": 4096, "devices": []}""")]
    public void A_guest_without_devices_is_complete_at_once(string json)
    {
        var stream = DeviceStreamBuilder.Description(json);
        var state = SplitOk(stream);
        Assert.True(state.Sections.IsEmpty);
        Assert.Empty(state.Devices);
        ByteByByte(stream);
    }

    [Fact]
    public void An_empty_description_is_believed_at_the_end_of_the_stream_only()
    {
        var section = DeviceStreamBuilder.Section("a", [1, 2, 3]);
        byte[] stream = [.. section, .. DeviceStreamBuilder.Description("{}")];
        var splitter = new DeviceStateSplitter();
        Assert.Equal(OperationStatus.NeedMoreData, splitter.TryFinish(stream, false, out _, out _, out _));
        Assert.Equal(OperationStatus.Done, splitter.TryFinish(stream, true, out var consumed, out var state, out _));
        Assert.Equal(stream.Length, consumed);
        Assert.Equal(section, state!.Sections.ToArray());
        Assert.Empty(state.Devices);
    }

    [Fact]
    public void A_source_that_sends_no_description_is_recognised()
    {
        Assert.True(DeviceStateSplitter.LacksDescription([.. Guest().Sections, 0]));
        Assert.True(DeviceStateSplitter.LacksDescription([0]));
        Assert.False(DeviceStateSplitter.LacksDescription(Guest().Sections));
        Assert.False(DeviceStateSplitter.LacksDescription(Guest().Stream));
        Assert.False(DeviceStateSplitter.LacksDescription([]));
        Refused([.. Guest().Sections, 0], "turn off suppress-vmdesc");
    }

    [Fact]
    public void Something_else_than_a_device_is_refused_at_its_first_byte()
    {
        Assert.Equal(OperationStatus.InvalidData, new DeviceStateSplitter().TryFinish([0x01], false, out _, out _, out var error));
        Assert.Contains("byte 01 instead of a device section", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Device_state_is_bounded()
    {
        var stream = Guest().Stream;
        Assert.Equal(OperationStatus.Done, new DeviceStateSplitter(stream.Length).TryFinish(stream, false, out _, out _, out _));
        var smaller = new DeviceStateSplitter(stream.Length - 1);
        Assert.Equal(OperationStatus.InvalidData, smaller.TryFinish(stream, false, out _, out _, out var error));
        Assert.Contains($"more than {stream.Length - 1} bytes", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Many_false_ends_cost_linear_time()
    {
        // 8 MiB of heads that all ask for 64 MiB: quadratic work would be 10^13 steps and never end.
        byte[] bombs = [.. Enumerable.Repeat(Hex.Bytes("00 06 04 00 00 00 7B 22"), 1 << 20).SelectMany(b => b)];
        var stream = new DeviceStreamBuilder().Add("a", bombs).Stream;
        var splitter = new DeviceStateSplitter();
        for (var length = 0; length < stream.Length; length += 1 << 16)
        {
            Assert.Equal(OperationStatus.NeedMoreData, splitter.TryFinish(stream.AsSpan(0, length), false, out _, out _, out _));
        }

        Assert.Equal(OperationStatus.Done, splitter.TryFinish(stream, false, out _, out _, out _));
    }

    [Fact]
    public void Any_guest_is_split_as_it_was_built() =>
        Gen.Select(
            Gen.Select(
                Gen.Char.AlphaNumeric.Array[1, 12],
                Gen.OneOf(Gen.Byte, Gen.OneOf<byte>(0, 6, 0x7B, 0x22, 0x7E, 4, 7)).Array[0, 60],
                Gen.UInt).Array[1, 8],
            Gen.Int[1, 64]).Sample((devices, piece) =>
        {
            var builder = new DeviceStreamBuilder();
            foreach ((var name, var body, var instance) in devices)
            {
                builder.Add(new string(name), body, instance: instance);
            }

            var stream = builder.Stream;
            var splitter = new DeviceStateSplitter();
            DeviceState? state = null;
            for (var length = 0; state is null && length < stream.Length + piece; length += piece)
            {
                splitter.TryFinish(stream.AsSpan(0, Math.Min(length, stream.Length)), false, out _, out state, out _);
            }

            return state is not null
                && state.Devices.Select(d => d.Name).SequenceEqual(devices.Select(d => new string(d.Item1)))
                && state.Devices.Zip(devices)
                    .All(p => state.Sections.Slice(p.First.Offset, p.First.Length).Span.SequenceEqual(p.Second.Item2));
        });

    [Fact]
    public void Anything_may_arrive()
    {
        byte[][] seeds =
        [
            Guest().Stream,
            new DeviceStreamBuilder().Add("a", Hex.Bytes("00 06 00 00 00 20 7B 22")).Stream,
            DeviceStreamBuilder.Description("{}"),
        ];
        Gen.Select(CodecAssert.Damaged(seeds), Gen.Bool, Gen.Int[0, 500]).Sample((bytes, end, cut) =>
        {
            var splitter = new DeviceStateSplitter();
            splitter.TryFinish(bytes.AsSpan(0, Math.Min(cut, bytes.Length)), false, out _, out _, out _);
            var status = splitter.TryFinish(bytes, end, out var consumed, out var state, out var error);
            return status switch
            {
                OperationStatus.Done =>
                    consumed <= bytes.Length && error is null && state!.Devices.All(d => d.Offset + d.Length <= state.Sections.Length),
                OperationStatus.NeedMoreData => !end && error is null && state is null,
                _ => !string.IsNullOrEmpty(error) && state is null,
            };
        }, iter: 2000);
    }

    private static EarlySection Early(string name)
    {
        byte[] bytes = [.. DeviceStreamBuilder.Section(name, [1, 2, 3]), 0x01];
        Assert.Equal(OperationStatus.Done, EarlySection.Parse(bytes, out var section, out _, out _));
        return section!;
    }

    private static DeviceState SplitOk(byte[] stream, DeviceStateSplitter? splitter = null)
    {
        var status =
            (splitter ?? new DeviceStateSplitter()).TryFinish(stream, false, out var consumed, out var state, out var error);
        Assert.True(status == OperationStatus.Done, $"{status} {error}");
        Assert.Equal(stream.Length, consumed);
        return state!;
    }

    private static void ByteByByte(byte[] stream)
    {
        var splitter = new DeviceStateSplitter();
        for (var length = 0; length < stream.Length; length++)
        {
            Assert.Equal(OperationStatus.NeedMoreData, splitter.TryFinish(stream.AsSpan(0, length), false, out _, out _, out _));
        }

        SplitOk(stream, splitter);
    }

    private static void Refused(byte[] stream, string because)
    {
        var status =
            new DeviceStateSplitter().TryFinish(stream, true, out var consumed, out var state, out var error);
        Assert.Equal(OperationStatus.InvalidData, status);
        Assert.Equal(0, consumed);
        Assert.Null(state);
        Assert.Contains(because, error, StringComparison.Ordinal);
    }
}
