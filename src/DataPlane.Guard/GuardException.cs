namespace DataPlane.Guard;

/// <summary>A guard cannot do its work; the message says in one line what is in the way.</summary>
/// <param name="message">What is in the way.</param>
/// <param name="innerException">The cause, where there is one.</param>
public sealed class GuardException(string message, Exception? innerException = null) : Exception(message, innerException);
