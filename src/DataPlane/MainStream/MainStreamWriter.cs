using System.Buffers;
using System.IO.Pipelines;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Writes the parts of a precopy main stream that are not pages (specification, 2-main-stream section 1). Everything is buffered until
/// <see cref="FlushAsync"/>.
/// </summary>
internal sealed class MainStreamWriter(PipeWriter output, string channel)
{
    /// <summary>
    /// The id that binds the sections of ram together. It may be any from 1 on; 0 would hit the wrong state in QEMU
    /// (2-main-stream section 1.3). No other section has the highest id.
    /// </summary>
    public const uint RamSection = 0x7FFFFFFF;

    public void WriteHeader(ConfigurationSection configuration)
    {
        StreamHeader.Write(output.GetSpan(StreamHeader.Size));
        output.Advance(StreamHeader.Size);
        configuration.Write(output);
    }

    public void WriteOpenReturnPath() => output.Advance(CommandWriter.WriteOpenReturnPath(output.GetSpan(CommandWriter.MaxSize)));

    public void WritePing(uint value) => output.Advance(CommandWriter.WritePing(output.GetSpan(CommandWriter.MaxSize), value));

    public void WriteSwitchoverStart() => output.Advance(CommandWriter.WriteSwitchoverStart(output.GetSpan(CommandWriter.MaxSize)));

    public void WriteRaw(ReadOnlySpan<byte> bytes) => output.Write(bytes);

    /// <summary>
    /// Begins the START section of ram with the list of blocks. The caller then writes its sync mark and ends the section.
    /// </summary>
    /// <param name="memory">The memory whose blocks are listed.</param>
    /// <param name="pageSizeOf">With postcopy, returns the page size of a block at the destination; null without.</param>
    public void BeginRam(GuestMemory memory, Func<RamBlock, long>? pageSizeOf = null)
    {
        var span = output.GetSpan(SectionHeader.MaxSize);
        output.Advance(SectionHeader.Write(span, SectionType.Start, RamSection, "ram"u8, instance: 0, RamSectionReader.Version));
        WriteRecord(RamFlags.MemorySize, memory.TotalBytes);
        foreach (var block in memory.Blocks)
        {
            new RamBlockEntry(block.Name, block.Length, pageSizeOf?.Invoke(block) ?? TargetPage.Size).Write(output);
        }
    }

    /// <summary>Begins a PART section of ram, or the END section if <paramref name="last"/> is true.</summary>
    public void BeginPages(bool last)
    {
        output.Advance(SectionHeader.Write(output.GetSpan(SectionHeader.MaxSize), last ? SectionType.End : SectionType.Part, RamSection));
    }

    /// <summary>Writes the mark that belongs to the SYNC packets just sent.</summary>
    public void WriteSyncMark() => WriteRecord(RamFlags.MultifdFlush, offset: 0);

    /// <summary>Ends a section of ram with its EOS record and its footer.</summary>
    public void EndSection()
    {
        WriteRecord(RamFlags.EndOfSection, offset: 0);
        SectionFooter.Write(output.GetSpan(SectionFooter.Size), RamSection);
        output.Advance(SectionFooter.Size);
    }

    /// <summary>
    /// Writes the device sections, the EOF byte, and the VM description except for its last byte, which is returned. No destination can
    /// finish without that byte, so it hands the guest over, and the caller decides when to send it.
    /// </summary>
    public byte WriteDeviceState(DeviceState devices)
    {
        output.Write(devices.Sections.Span);
        output.Write([(byte)SectionType.EndOfFile]);
        VmDescriptionHeader.Write(output.GetSpan(VmDescriptionHeader.Size), devices.Description.Length);
        output.Advance(VmDescriptionHeader.Size);
        output.Write(devices.Description.Span[..^1]);
        return devices.Description.Span[^1];
    }

    /// <summary>Sends everything that has been written so far.</summary>
    /// <exception cref="ChannelException">The connection was lost.</exception>
    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException failure) when (failure is not ChannelException)
        {
            throw new ChannelException(FailureReason.PeerReset, channel, "the connection was lost while sending", failure);
        }
    }

    private void WriteRecord(RamFlags flags, long offset)
    {
        output.Advance(RamRecordHeader.Write(output.GetSpan(RamRecordHeader.MaxSize), flags, offset));
    }
}
