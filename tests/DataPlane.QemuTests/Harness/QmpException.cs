namespace DataPlane.QemuTests.Harness;

/// <summary>QEMU's monitor answered a command with an error, or not at all.</summary>
internal sealed class QmpException(string message, Exception? cause = null) : Exception(message, cause);
