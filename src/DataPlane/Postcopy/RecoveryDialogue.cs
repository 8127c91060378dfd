using DataPlane.MainStream;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// What a source says on a new main channel after it has lost its link, until pages may flow again (specification, 4-postcopy section
/// 4.6.2): it asks what the destination holds, and then to go on.
/// </summary>
/// <param name="main">The new main channel.</param>
/// <param name="answers">Collects what the destination answers.</param>
/// <param name="shut">The task that reads the return path; it ends the wait for an answer.</param>
/// <param name="limit">How long the destination may take for each answer.</param>
/// <param name="time">The clock.</param>
internal sealed class RecoveryDialogue(Channel main, RecoveryAnswers answers, Task<uint> shut, TimeSpan limit, TimeProvider time)
{
    /// <summary>How long the destination may take for each of its answers (4-postcopy section 4.10).</summary>
    public static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(30);

    private readonly MainStreamWriter _writer = new(main.Output, main.Name);

    /// <summary>Asks which pages have arrived, and returns all others.</summary>
    public async Task<GuestPageSet> AskWhatIsMissingAsync(GuestMemory memory, CancellationToken cancellationToken)
    {
        PostcopyCommands.WriteBitmapQuestions(main.Output, memory);
        await AskAsync(answers.Missing, cancellationToken).ConfigureAwait(false);
        return await answers.Missing.ConfigureAwait(false);
    }

    /// <summary>
    /// Asks the destination to go on. Its requests follow its answer at once, so everything must be ready for them before.
    /// </summary>
    public async Task AskToResumeAsync(CancellationToken cancellationToken)
    {
        answers.AskToResume();
        PostcopyCommands.WriteResume(main.Output);
        await AskAsync(answers.Resumed, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Sends what has been written and waits for the answer. Each has its own limit, because much data may take that long to send.
    /// </summary>
    private async Task AskAsync(Task answer, CancellationToken cancellationToken)
    {
        using (PeerDeadline.Start(main, limit, "a recovery was to begin", time))
        {
            await _writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }

        var ended = await Task.WhenAny(answer, shut).WaitAsync(limit, time, cancellationToken).ConfigureAwait(false);
        await ended.ConfigureAwait(false);
        if (ended != answer)
        {
            throw ChannelException.Violation(ChannelId.Main, "the destination sent SHUT in the middle of a recovery");
        }
    }
}
