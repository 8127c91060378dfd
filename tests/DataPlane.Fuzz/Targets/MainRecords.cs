using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>The codecs of the main stream; the first byte of an input chooses one.</summary>
internal sealed class MainRecords : IFuzzTarget
{
    private static readonly ulong[] s_pageSizes = [0, 0x1000, 0x201000, 0x40201000];

    private readonly ArrayBufferWriter<byte> _written = new();
    private readonly byte[] _room = new byte[ConfigurationSection.MaxSize];

    public string Reads => "codecs of the main stream: header, configuration, sections, commands, RAM records and lists of blocks";

    public int MaxInputBytes => 4096;

    public long MaxAllocatedBytes => 64 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        switch (choices.Choice(8))
        {
            case 0:
                return Header(choices.Rest);
            case 1:
                return Configuration(choices.Rest);
            case 2:
                return Section(choices.Rest);
            case 3:
                return Footer(choices.Rest);
            case 4:
                return Command(choices.Rest);
            case 5:
                return Record(choices.Rest);
            case 6:
                return Blocks(choices);
            default:
                return Description(choices.Rest);
        }
    }

    private bool Header(ReadOnlySpan<byte> source)
    {
        var accepted = StreamHeader.TryRead(source, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        StreamHeader.Write(_room);
        Oracle.Same(_room.AsSpan(0, StreamHeader.Size), source[..StreamHeader.Size], "stream header");
        return true;
    }

    private bool Configuration(ReadOnlySpan<byte> source)
    {
        var status = ConfigurationSection.Parse(source, out var section, out var consumed, out var error);
        Oracle.Consistent(status, consumed, error, Math.Max(source.Length - 1, 0)); // the byte that ends it is not its own
        if (status != OperationStatus.Done)
        {
            return false;
        }

        _written.ResetWrittenCount();
        section!.Write(_written);
        // Subsections may come in any order, and an empty list of capabilities is none: read again, it says the same.
        var again = ConfigurationSection.Parse(
            [.. _written.WrittenSpan, 0], out var second, out var size, out _);
        Oracle.Holds(again == OperationStatus.Done && size == _written.WrittenCount);
        Oracle.Holds(second!.MachineName == section.MachineName && second.Uuid == section.Uuid);
        Oracle.Holds(second.TargetPageBits == section.TargetPageBits && second.Capabilities.SequenceEqual(section.Capabilities));
        _ = MachineType.Parse(section.MachineName);
        return true;
    }

    private bool Section(ReadOnlySpan<byte> source)
    {
        var status = SectionHeader.Parse(source, out var header, out var consumed, out var error);
        Oracle.Consistent(status, consumed, error, source.Length);
        if (status != OperationStatus.Done)
        {
            return false;
        }

        var size = header.Type is SectionType.Start or SectionType.Full
            ? SectionHeader.Write(_room, header.Type, header.Id, header.Name, header.Instance, header.Version)
            : SectionHeader.Write(_room, header.Type, header.Id);
        Oracle.Same(_room.AsSpan(0, size), source[..consumed], "section header");
        return true;
    }

    private bool Footer(ReadOnlySpan<byte> source)
    {
        const uint Id = 3;
        var accepted = SectionFooter.TryRead(source, Id, out var error);
        Oracle.Consistent(accepted, error);
        if (accepted)
        {
            SectionFooter.Write(_room, Id);
            Oracle.Same(_room.AsSpan(0, SectionFooter.Size), source[..SectionFooter.Size], "section footer");
        }

        accepted = VmDescriptionHeader.TryRead(source, out var header, out error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        VmDescriptionHeader.Write(_room, header.Length);
        Oracle.Same(_room.AsSpan(0, VmDescriptionHeader.Size), source[..VmDescriptionHeader.Size], "head of a VM description");
        return true;
    }

    private bool Command(ReadOnlySpan<byte> source)
    {
        var accepted = CommandHeader.TryRead(source, out var header, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        CommandHeader.Write(_room, header.Type, header.Length);
        Oracle.Same(_room.AsSpan(0, CommandHeader.Size), source[..CommandHeader.Size], "command");
        return true;
    }

    private bool Record(ReadOnlySpan<byte> source)
    {
        var status = RamRecordHeader.Parse(source, out var header, out var consumed, out var error);
        Oracle.Consistent(status, consumed, error, source.Length);
        if (status != OperationStatus.Done)
        {
            return false;
        }

        var size = RamRecordHeader.Write(_room, header.Flags, header.Offset, header.Name(source));
        Oracle.Same(_room.AsSpan(0, size), source[..consumed], "RAM record");
        return true;
    }

    /// <summary>A whole list of blocks, as the readers of streams and files put it together.</summary>
    private bool Blocks(FuzzInput choices)
    {
        var layout = choices.Choice(8);
        var total = ((long)choices.Byte() + 1) << 12 << (2 * (layout & 3));
        var options = new RamBlockEntryOptions(total, s_pageSizes[layout & 3], IgnoreShared: (layout & 4) != 0);
        Oracle.Holds(RamBlockList.TryBegin(total, total, out var list, out _));
        var source = choices.Rest;
        long listed = 0;
        while (!list!.IsComplete)
        {
            options = options with { RemainingBytes = list.RemainingBytes };
            var status = RamBlockEntry.Parse(
                source, options, out var entry, out var consumed, out var error);
            Oracle.Consistent(status, consumed, error, source.Length);
            if (status != OperationStatus.Done || !list.TryAdd(entry, out _))
            {
                return false;
            }

            listed += entry.Length;
            Oracle.Holds(listed + list.RemainingBytes == total && entry.Length > 0 && entry.Length % entry.PageSize == 0);
            _written.ResetWrittenCount();
            entry.Write(_written);
            // A page size of 4096 may be announced; it need not be.
            if (entry.PageSize != WireLimits.PageSize || consumed == _written.WrittenCount)
            {
                Oracle.Same(_written.WrittenSpan, source[..consumed], "RAM block");
            }

            source = source[consumed..];
        }
        return true;
    }

    private static bool Description(ReadOnlySpan<byte> source)
    {
        var accepted = VmDescription.TryParse(source, out var description, out var error);
        Oracle.Consistent(accepted, error);
        if (accepted)
        {
            Oracle.Holds(description!.Devices.All(device => device.Name is not null && device.BodySize is null or >= 0));
        }

        return true;
    }
}
