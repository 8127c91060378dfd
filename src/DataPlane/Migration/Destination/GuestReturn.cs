using System.Buffers.Binary;
using DataPlane.MainStream;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration.Destination;

/// <summary>
/// Gives a guest back to a source that has paused although the guest never started here. A QEMU up to 10.1 counts its guest as gone once
/// the package is in its socket: from then on it refuses to cancel and to run the guest. Only a destination that answers its recovery and
/// reports a failure at the end of the stream releases it. Every page is therefore reported as received, so that the source has no page
/// left to send.
/// </summary>
/// <remarks>
/// Anyone who knows the protocol gets this answer. It proves something about the source only if it goes to the address that main came from,
/// or if TLS has shown who the peer is. An answer to another address does not end the wait, because its peer may be a stranger and the
/// source would stay paused.
/// </remarks>
/// <param name="blocks">The RAM blocks that the source has announced. Only their names and lengths are used.</param>
/// <param name="ramSection">The id of the source's ram section.</param>
/// <param name="source">The <see cref="AdmittedChannel.PeerGroup"/> of main; null where every admitted peer is the source.</param>
/// <param name="limit">The longest time that one connection may take.</param>
/// <param name="time">The clock that measures <paramref name="limit"/>.</param>
internal sealed class GuestReturn(
    GuestMemory blocks, uint ramSection, PeerGroup? source, TimeSpan limit, TimeProvider time)
{
    /// <summary>How many connections are answered at the same time. The source has one of them; the others are strangers'.</summary>
    private const int MaxConnections = 16;

    /// <summary>How many other addresses are reported at most, because strangers decide how many there are.</summary>
    private const int MaxTold = 16;

    private readonly ReceivedPages _everything = Everything(blocks);

    /// <summary>
    /// Answers every connection that begins a recovery, until a connection of the source has been told that the guest is the source's.
    /// </summary>
    /// <param name="admission">Admits the connections.</param>
    /// <param name="elsewhere">
    /// Called with the address and port of a connection that was given the guest from another address, once for each such address.
    /// </param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns>The source's address and port.</returns>
    public async Task<string> RunAsync(ChannelAdmission admission, Action<string> elsewhere, CancellationToken cancellationToken)
    {
        HashSet<PeerGroup> told = [];
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var places = new SemaphoreSlim(MaxConnections);
        List<Task<AdmittedChannel?>> attempts = [];
        var next = AcceptAsync(admission, places, over.Token);
        try
        {
            while (true)
            {
                await Task.WhenAny((Task[])[next, .. attempts]).ConfigureAwait(false);
                foreach (var attempt in attempts.FindAll(static attempt => attempt.IsCompleted))
                {
                    attempts.Remove(attempt);
                    if (attempt is not { IsCompletedSuccessfully: true, Result: { } given })
                    {
                        continue;
                    }

                    if (source is null || given.PeerGroup == source)
                    {
                        return given.Peer;
                    }

                    if (told.Count < MaxTold && told.Add(given.PeerGroup))
                    {
                        elsewhere(given.Peer);
                    }
                }

                if (next.IsCompleted)
                {
                    var admitted = await next.ConfigureAwait(false);
                    attempts.Add(AnswerAsync(admitted, places, over.Token));
                    next = AcceptAsync(admission, places, over.Token);
                }
            }
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(attempts).ConfigureAwait(false);
            await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (next.IsCompletedSuccessfully)
            {
                await (await next.ConfigureAwait(false)).Channel.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static ReceivedPages Everything(GuestMemory blocks)
    {
        var all = new ReceivedPages(blocks);
        foreach (var block in blocks.Blocks)
        {
            all.Received(block).SetAll();
        }

        return all;
    }

    private static async Task<AdmittedChannel> AcceptAsync(ChannelAdmission admission, SemaphoreSlim places, CancellationToken over)
    {
        await places.WaitAsync(over).ConfigureAwait(false);
        return await admission.AcceptAsync(over).ConfigureAwait(false);
    }

    /// <summary>
    /// Answers one connection. Returns it if its peer has been told that the guest is its own, and has closed; otherwise null.
    /// </summary>
    private async Task<AdmittedChannel?> AnswerAsync(AdmittedChannel admitted, SemaphoreSlim places, CancellationToken over)
    {
        var channel = admitted.Channel;
        using var stopped = over.Register(() => channel.Abort());
        using var deadline = time.CreateTimer(_ => channel.Abort(), null, limit, Timeout.InfiniteTimeSpan);
        try
        {
            if (!admitted.Recovered || admitted.Kind != ChannelKind.Main)
            {
                channel.Abort();
                return null;
            }

            await GiveOnThreadAsync(channel).ConfigureAwait(false);
            // A source that has not closed may not have heard SHUT 1; it comes again in that case.
            var hasClosed = await channel.CloseAsync(ChannelClosing.GivenBackTimeout, CancellationToken.None).ConfigureAwait(false);
            return hasClosed ? admitted : null;
        }
        catch (Exception failure) when (failure is IOException or InvalidOperationException or OperationCanceledException)
        {
            return null; // a stranger, or a source that comes again
        }
        finally
        {
            channel.Abort();
            await channel.DisposeAsync().ConfigureAwait(false);
            places.Release();
        }
    }

    /// <summary>Gives the guest on a thread of its own, because the records of a recovery are read by blocking calls.</summary>
    private async Task GiveOnThreadAsync(Channel main)
    {
        var given = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(Run) { Name = "dp-return", IsBackground = true };
        thread.Start();
        try
        {
            await given.Task.ConfigureAwait(false);
        }
        finally
        {
            thread.Join(); // does not wait: the thread has run its last statement
        }

        void Run()
        {
            try
            {
                Give(main);
                given.SetResult();
            }
            catch (Exception failure)
            {
                given.SetException(failure);
            }
        }
    }

    private void Give(Channel main)
    {
        var candidate = new RecoveryCandidate(main, _everything, static () => { });
        candidate.Answer();
        var returnPath = new PostcopyReturnPath();
        returnPath.Use(main);
        returnPath.SendResumeAck();
        var stream = PostcopyLink.OpenStream(main);
        try
        {
            ReadToEnd(stream);
        }
        finally
        {
            stream.LeaveRest();
        }

        returnPath.SendShut(success: false);
    }

    /// <summary>
    /// Reads to the end of the source's stream: a source takes SHUT 1 for a failure only there; before that, SHUT 1 is one more lost link
    /// to it.
    /// </summary>
    private void ReadToEnd(StreamCursor stream)
    {
        while (true)
        {
            stream.Fill(1, "the end of a recovery");
            var type = (SectionType)stream.PeekByte();
            if (type == SectionType.EndOfFile)
            {
                return;
            }

            const int Size = 1 + sizeof(uint) + sizeof(ulong) + SectionFooter.Size;
            stream.Fill(Size, "a section without pages");
            var section = stream.Peek(Size);
            if (type is not (SectionType.Part or SectionType.End)
                || BinaryPrimitives.ReadUInt32BigEndian(section[1..]) != ramSection
                || BinaryPrimitives.ReadUInt64BigEndian(section[5..]) != (ulong)RamFlags.EndOfSection
                || !SectionFooter.TryRead(section[13..], ramSection, out _))
            {
                throw stream.Violation("more than the end of the stream, though every page was reported as received");
            }

            stream.Advance(Size);
        }
    }
}
