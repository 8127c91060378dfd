namespace DataPlane.Guard;

/// <summary>The guard cannot do its work. The message tells the reason in one line.</summary>
/// <param name="message">The reason.</param>
/// <param name="innerException">The cause, where there is one.</param>
public sealed class GuardException(string message, Exception? innerException = null) : Exception(message, innerException);
