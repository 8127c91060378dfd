using System.Diagnostics.CodeAnalysis;

namespace DataPlane.MainStream;

/// <summary>
/// Waits for work of others on a thread that may block, because it is a named thread of the reader that runs on it.
/// </summary>
[SuppressMessage("Usage", "VSTHRD002", Justification = "The thread is made for blocking.")]
internal static class Blocking
{
    public static T Wait<T>(ValueTask<T> work) => work.IsCompleted ? work.GetAwaiter().GetResult() : work.AsTask().GetAwaiter().GetResult();

    public static void Wait(ValueTask work)
    {
        if (!work.IsCompletedSuccessfully)
        {
            work.AsTask().GetAwaiter().GetResult();
        }
    }

    public static void Wait(Task work) => work.GetAwaiter().GetResult();
}
