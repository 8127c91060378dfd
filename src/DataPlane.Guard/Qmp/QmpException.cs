using DataPlane.Wire;

namespace DataPlane.Guard.Qmp;

/// <summary>
/// A monitor refused a command, sent an answer that cannot be used, or is gone. The text of QEMU in the message is escaped.
/// </summary>
internal sealed class QmpException(string message, Exception? innerException = null)
    : Exception(UntrustedText.Escape(message), innerException);
