using System.Text;
using CsCheck;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class VmDescriptionTests
{
    [Fact]
    public void A_described_device_is_the_sum_of_its_fields()
    {
        var device = Assert.Single(Parse("""
            {"configuration": {"vmsd_name": "configuration", "version": 1, "fields": [{"name": "len", "size": 4}]}, "page_size": 4096,
             "devices": [{"name": "timer", "instance_id": 3, "vmsd_name": "timer", "version": 2, "fields": [
                {"name": "cpu_ticks_offset", "type": "int64", "size": 8},
                {"name": "unused", "type": "unused_buffer", "size": 8},
                {"name": "offsets", "array_len": 3, "type": "int64", "size": 8}]}]}
            """));
        Assert.Equal(new VmDescriptionDevice("timer", 3, 8 + 8 + 3 * 8), device);
    }

    [Fact]
    public void What_a_struct_contains_is_already_counted() =>
        Assert.Equal(new VmDescriptionDevice("d", 0, 20 + 12), Assert.Single(Parse("""
            {"page_size": 4096, "devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "version": 1, "fields": [
                {"name": "inner", "type": "struct", "struct": {"vmsd_name": "inner", "version": 1,
                    "fields": [{"name": "x", "size": 999}],
                     "subsections": [{"vmsd_name": "inner/s", "fields": [{"name": "y", "size": 99}]}]}, "size": 20},
                {"name": "inline", "vmsd_name": "other", "size": 4, "index": 0},
                {"name": "inline", "vmsd_name": "other", "size": 8, "index": 1}]}]}
            """)));

    [Fact]
    public void Subsections_add_their_head_and_nest() =>
        Assert.Equal(4 + (6 + 3 + 10) + (6 + 3 + 1 + (6 + 5 + 2 * 7)), Assert.Single(Parse("""
            {"page_size": 4096, "devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "version": 1,
              "fields": [{"name": "a", "size": 4}],
              "subsections": [
                {"vmsd_name": "d/a", "version": 1, "fields": [{"name": "b", "size": 10}]},
                {"vmsd_name": "d/b", "version": 1, "fields": [{"name": "c", "size": 1}], "subsections": [
                   {"vmsd_name": "d/b/c", "version": 1, "fields": [{"name": "e", "size": 2, "array_len": 7}]}]}]}]}
            """)).BodySize);

    [Fact]
    public void An_old_style_device_tells_its_size() =>
        Assert.Equal(new VmDescriptionDevice("slirp", 0, 1234), Assert.Single(Parse("""
            {"devices": [{"name": "slirp", "instance_id": 0, "size": 1234, "fields": [{"name": "data", "size": 1234, "type": "buffer"}]}]}
            """)));

    [Fact]
    public void Devices_keep_their_order() =>
        Assert.Equal(["b", "a", "b"], Parse("""
            {"devices": [{"name": "b", "instance_id": 0, "size": 1},
                         {"name": "a", "instance_id": 1, "size": 1}, {"name": "b", "instance_id": 2, "size": 1}]}
            """).Select(d => d.Name));

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"devices": []}""")]
    public void No_devices_are_legal(string json) => Assert.Empty(Parse(json));

    [Theory]
    [InlineData(0L, 0u)]
    [InlineData(4294967295L, uint.MaxValue)]
    [InlineData(-1L, uint.MaxValue)]
    public void Instances_have_32_bits_with_or_without_sign(long written, uint read) =>
        Assert.Equal(read, Assert.Single(Parse($$"""{"devices": [{"name": "b", "instance_id": {{written}}, "size": 1}]}""")).Instance);

    [Theory]
    [InlineData("""{"name": "f", "size": 9223372036854775807}, {"name": "g", "size": 1}""")]
    [InlineData("""{"name": "f", "size": 4294967296, "array_len": 4294967296}""")]
    [InlineData("""{"name": "f", "size": 9223372036854775808}""")]
    [InlineData("""{"name": "f", "size": -1}, {"name": "g", "size": 2}""")]
    [InlineData("""{"name": "f", "size": 4, "array_len": -3}""")]
    [InlineData("""{"name": "f", "size": 1.5}""")]
    public void Sizes_that_make_no_sense_are_no_sizes(string fields) =>
        Assert.Null(Assert.Single(
            Parse($$"""{"devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "fields": [{{fields}}]}]}""")).BodySize);

    [Fact]
    public void The_largest_size_still_counts() =>
        Assert.Equal(long.MaxValue, Assert.Single(Parse("""
            {"devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d",
                          "fields": [{"name": "f", "size": 9223372036854775806}, {"name": "g", "size": 1}]}]}
            """)).BodySize);

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("{} x")]
    [InlineData("""{"devices": {}}""")]
    [InlineData("""{"devices": [1]}""")]
    [InlineData("""{"devices": [{"instance_id": 0, "size": 1}]}""")]
    [InlineData("""{"devices": [{"name": "", "instance_id": 0, "size": 1}]}""")]
    [InlineData("""{"devices": [{"name": 7, "instance_id": 0, "size": 1}]}""")]
    [InlineData("""{"devices": [{"name": "d", "instance_id": 4294967296, "size": 1}]}""")]
    [InlineData("""{"devices": [{"name": "d", "instance_id": "0", "size": 1}]}""")]
    [InlineData("""{"devices": [{"name": "d", "instance_id": 0, "size": "1"}]}""")]
    [InlineData("""{"devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "fields": 4}]}""")]
    [InlineData("""{"devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "subsections": [{"vmsd_name": null}]}]}""")]
    public void Other_documents_are_refused(string json)
    {
        Assert.False(VmDescription.TryParse(Encoding.UTF8.GetBytes(json), out var description, out var error));
        Assert.Null(description);
        Assert.StartsWith("the VM description is not what QEMU writes", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_that_is_not_UTF8_is_refused() =>
        Assert.False(VmDescription.TryParse([.. "{\"devices\": [{\"name\": \""u8, 0xFF, .. "\", \"instance_id\": 0}]}"u8], out _, out _));

    [Fact]
    public void Nesting_and_number_of_devices_are_bounded()
    {
        var deep = string.Concat(Enumerable.Repeat("""{"x":""", 300)) + "1" + new string('}', 300);
        Assert.False(VmDescription.TryParse(Encoding.UTF8.GetBytes(deep), out _, out _));

        var device = """{"name":"d","instance_id":0,"size":1}""";
        var most = "{\"devices\":[" + string.Join(',', Enumerable.Repeat(device, WireLimits.MaxDevices)) + "]}";
        Assert.Equal(WireLimits.MaxDevices, Parse(most).Count);
        var tooMany = "{\"devices\":[" + string.Join(',', Enumerable.Repeat(device, WireLimits.MaxDevices + 1)) + "]}";
        Assert.False(VmDescription.TryParse(Encoding.UTF8.GetBytes(tooMany), out _, out var error));
        Assert.Contains("more than 65536 devices", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Anything_may_arrive() =>
        CodecAssert.SurvivesAnything(
            [
                """{"devices": [{"name": "d", "instance_id": 0, "vmsd_name": "d", "fields": [{"size": 4, "array_len": 2}]}]}"""u8.ToArray(),
                """{"page_size": 4096, "devices": [{"name": "d", "instance_id": 0, "size": 4}]}"""u8.ToArray(),
            ],
            (ReadOnlySpan<byte> source, out string? error) => VmDescription.TryParse(source, out _, out error));

    private static IReadOnlyList<VmDescriptionDevice> Parse(string json)
    {
        Assert.True(VmDescription.TryParse(Encoding.UTF8.GetBytes(json), out var description, out var error), error);
        return description!.Devices;
    }
}
