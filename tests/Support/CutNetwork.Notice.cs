using System.Diagnostics;

namespace DataPlane.TestSupport;

/// <content>How the two ends find out that a black hole is one.</content>
internal sealed partial class CutNetwork
{
    private async Task FindOutAsync(LinkCut cut, FaultLink[] links)
    {
        await Task.Delay(cut.After);
        if (cut.Notice == CutNotice.Operator)
        {
            Note("the operator pauses both sides");
            await PauseAsync();
        }
        else if (cut.Notice == CutNotice.UserTimeout)
        {
            for (var waited = Stopwatch.StartNew(); waited.Elapsed < TimeSpan.FromSeconds(4) && !SourceHasNoticed();)
            {
                await Task.Delay(20);
            }

            Note(SourceHasNoticed() ? "the source has noticed" : "the source has not noticed");
        }

        // In the end every end finds out by itself; which one first is chance.
        foreach (var client in cut.Offset % 2 == 0 ? (bool[])[true, false] : [false, true])
        {
            foreach (var link in links)
            {
                link.Sever(client);
            }

            Note($"the {(client ? "source" : "destination")}'s end is gone");
            await Task.Delay(cut.After);
        }
    }
}
