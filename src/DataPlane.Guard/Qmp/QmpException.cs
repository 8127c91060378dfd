namespace DataPlane.Guard.Qmp;

/// <summary>A monitor refused a command, answered nonsense, or is gone.</summary>
internal sealed class QmpException(string message, Exception? innerException = null) : Exception(message, innerException);
