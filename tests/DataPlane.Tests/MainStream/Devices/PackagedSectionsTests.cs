using System.Text;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream.Devices;

/// <summary>Device sections of a postcopy package, where nothing tells how long they are.</summary>
public sealed class PackagedSectionsTests
{
    [Fact]
    public void Sections_are_told_by_their_footers_and_described_anew()
    {
        byte[] sections = [.. Section(0, "timer", [1, 2]), .. Section(7, "globalstate", new byte[36]), .. Section(3, "cpu", [])];

        var state = DeviceState.FromPackage(default, sections);

        Assert.Equal(["timer", "globalstate", "cpu"], state.Devices.Select(static device => device.Name));
        Assert.Equal([2, 36, 0], state.Devices.Select(static device => device.Length));
        Assert.True(VmDescription.TryParse(state.Description.Span, out var description, out _));
        Assert.Equal([2L, 36L, 0L], description.Devices.Select(static device => device.BodySize));
    }

    [Fact]
    public void A_body_that_holds_what_looks_like_an_end_is_not_torn()
    {
        // Inside of the first body: its own footer, and after it the head of a section whose end is nowhere.
        byte[] trap = [9, .. Footer(5), .. Section(6, "false", [8])[..^5], 9];
        byte[] sections = [.. Section(5, "first", trap), .. Section(4, "second", [1])];

        var state = DeviceState.FromPackage(default, sections);

        Assert.Equal([("first", trap.Length), ("second", 1)], state.Devices.Select(static device => (device.Name, device.Length)));
    }

    [Fact]
    public void Bytes_that_are_no_sections_are_kept_without_a_table()
    {
        byte[] sections = [.. Section(5, "first", [1]), 1, 2, 3];

        var state = DeviceState.FromPackage(default, sections);

        Assert.Equal(sections, state.Sections.ToArray());
        Assert.Empty(state.Devices);
        Assert.Equal("{}", Encoding.ASCII.GetString(state.Description.Span));
    }

    private static byte[] Section(uint id, string name, byte[] body)
    {
        var header = new byte[SectionHeader.MaxSize];
        var size = SectionHeader.Write(header, SectionType.Full, id, Encoding.ASCII.GetBytes(name), 0, 1);
        return [.. header[..size], .. body, .. Footer(id)];
    }

    private static byte[] Footer(uint id)
    {
        var footer = new byte[SectionFooter.Size];
        SectionFooter.Write(footer, id);
        return footer;
    }
}
