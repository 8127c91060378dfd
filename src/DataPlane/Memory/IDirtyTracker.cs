using System.Diagnostics.CodeAnalysis;

namespace DataPlane;

/// <summary>Tracks which pages of a guest have been written.</summary>
/// <remarks>
/// The members must be called by one thread at a time, while the guest may write from any number of threads. To collect every write, pause
/// the guest before the last <see cref="Collect"/>.
/// </remarks>
public interface IDirtyTracker : IDisposable
{
    /// <summary>Begins to track: every write after this call has returned is reported by a later <see cref="Collect"/>.</summary>
    /// <exception cref="InvalidOperationException">The tracker has started already.</exception>
    /// <exception cref="IOException">The kernel refused to track.</exception>
    void Start();

    /// <summary>
    /// Adds to <paramref name="dirty"/> the pages written since <see cref="Start"/> or the last call. Each page is reported and tracked
    /// again in one step, so no write falls between two calls. A page may be reported without need, but never left out.
    /// </summary>
    /// <param name="dirty">A set of the same guest; pages in it stay in it.</param>
    /// <returns>The number of pages reported, including those that were in the set before.</returns>
    /// <exception cref="InvalidOperationException">The tracker has not started.</exception>
    /// <exception cref="IOException">The kernel failed; pages may be missing from the set, so treat every page as dirty.</exception>
    long Collect(GuestPageSet dirty);

    /// <summary>Ends tracking, and with it the cost for the guest. Idempotent; tracking may be started again.</summary>
    [SuppressMessage("Naming", "CA1716", Justification = "Start and Stop are the words; a Visual Basic implementer can escape them.")]
    void Stop();
}
