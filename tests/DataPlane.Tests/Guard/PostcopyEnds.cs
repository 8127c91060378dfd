using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>One link of a guarded postcopy: the source's end of main, and QEMU's ends of main and of the preempt channel.</summary>
internal sealed record PostcopyEnds(ScriptedPeer Source, ScriptedPeer Main, ScriptedPeer Preempt)
{
    /// <summary>The PONG by which QEMU shows that it has the package.</summary>
    internal static readonly byte[] Switchover = [0, 2, 0, 4, 0, 0, 0, 2];

    /// <summary>QEMU's RESUME_ACK.</summary>
    internal static readonly byte[] Resumed = [0, 6, 0, 4, 0, 0, 0, 1];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>QEMU asks for a page, and the source has the request.</summary>
    internal async Task AskAsync(UrgentPage page)
    {
        Main.Send(page.Request);
        Assert.Equal(page.Request, await Source.ReceiveAsync(page.Request.Length, Token));
    }

    /// <summary>QEMU gets exactly this next on its preempt channel.</summary>
    internal async Task GetsAsync(byte[] bytes) => Assert.Equal(bytes, await Preempt.ReceiveAsync(bytes.Length, Token));

    /// <summary>The source is gone, with a reset or with a FIN.</summary>
    internal void Lose(bool reset = true)
    {
        if (reset)
        {
            Source.Reset();
        }
        else
        {
            Source.Finish();
        }
    }
}
