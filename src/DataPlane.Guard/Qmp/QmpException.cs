using DataPlane.Wire;

namespace DataPlane.Guard.Qmp;

/// <summary>A monitor refused a command, answered nonsense, or is gone; what QEMU says is escaped in it.</summary>
internal sealed class QmpException(string message, Exception? innerException = null)
    : Exception(UntrustedText.Escape(message), innerException);
