namespace DataPlane.Transport.Tls;

/// <summary>Certificates or keys cannot be used. The message is one line with the file and what is wrong with it.</summary>
public sealed class TlsCredentialsException : IOException
{
    internal TlsCredentialsException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
