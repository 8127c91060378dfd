namespace DataPlane.Transport;

/// <summary>A channel could not be opened, or ended under a stream operation. Bulk transfers report the same by <see cref="TransferResult"/>.</summary>
internal sealed class ChannelException : IOException
{
    internal ChannelException(string channel, ChannelEnd end, int errno, string what)
        : base(errno == 0 ? $"{channel}: {what}" : $"{channel}: {what}: {Linux.Errno.Describe(errno)}")
    {
        Channel = channel;
        End = end;
        Errno = errno;
    }

    internal string Channel { get; }

    internal ChannelEnd End { get; }

    internal int Errno { get; }
}
