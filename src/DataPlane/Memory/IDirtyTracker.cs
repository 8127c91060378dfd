using System.Diagnostics.CodeAnalysis;

namespace DataPlane.Memory;

/// <summary>Knows which pages of a guest were written.</summary>
/// <remarks>
/// The members are called by one thread at a time; the guest writes meanwhile from as many threads as it likes. To have every write, pause
/// the guest before the last <see cref="Collect"/>.
/// </remarks>
public interface IDirtyTracker : IDisposable
{
    /// <summary>Begins to track: every write after this call returned is reported by a later <see cref="Collect"/>.</summary>
    /// <exception cref="InvalidOperationException">Tracking already.</exception>
    /// <exception cref="IOException">The kernel refused.</exception>
    void Start();

    /// <summary>
    /// Adds to <paramref name="dirty"/> the pages written since <see cref="Start"/> or the last call. Each page is reported and tracked
    /// again in one step, so no write falls between two calls. A page may be reported without need, never left out.
    /// </summary>
    /// <param name="dirty">A set of the same guest; pages in it stay in it.</param>
    /// <returns>Pages reported, also those that were in the set before.</returns>
    /// <exception cref="InvalidOperationException">Not tracking.</exception>
    /// <exception cref="IOException">The kernel failed; pages may be missing from the set, so treat every page as dirty.</exception>
    long Collect(GuestPageSet dirty);

    /// <summary>Ends tracking and lifts what it costs the guest. Idempotent; tracking may be started anew.</summary>
    [SuppressMessage("Naming", "CA1716", Justification = "Start and Stop are the words; a Visual Basic implementer can escape them.")]
    void Stop();
}
