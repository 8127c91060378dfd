using System.Buffers.Binary;

namespace DataPlane.Guard.Tls;

/// <summary>What a ServerHello tells of the handshake that follows it.</summary>
/// <param name="IsTls13">Whether the version is 1.3, in which all that follows is encrypted, and not an older one.</param>
/// <param name="Suite">The cipher suite.</param>
internal sealed record TlsServerHello(bool IsTls13, ushort Suite)
{
    private const int SessionIdAt = 4 + 2 + 32; // handshake head, version, random
    private const int SupportedVersions = 43;
    private const int Head = 4 + 1; // of a handshake message, and the true type after it
    private const int Tag = 16;

    /// <summary>The length in bytes of an encrypted record that holds only the Finished message of TLS 1.3.</summary>
    public int FinishedRecord => Suite switch
    {
        0x1302 => Head + 48 + Tag, // the only suite with SHA-384
        0x1305 => Head + 32 + (Tag / 2), // CCM_8
        _ => Head + 32 + Tag,
    };

    /// <summary>Reads a ServerHello; returns null when the message is none.</summary>
    public static TlsServerHello? Parse(ReadOnlySpan<byte> message)
    {
        const byte ServerHello = 2;
        if (message.Length <= SessionIdAt || message[0] != ServerHello)
        {
            return null;
        }

        var suiteAt = SessionIdAt + 1 + message[SessionIdAt];
        var extensionsAt = suiteAt + 2 + 1 + 2; // suite, compression, length
        if (message.Length < suiteAt + 2)
        {
            return null;
        }

        var suite = BinaryPrimitives.ReadUInt16BigEndian(message[suiteAt..]);
        var extensions = message.Length < extensionsAt ? [] : message[extensionsAt..];
        if (!extensions.IsEmpty) // other messages may follow in the same record
        {
            extensions = extensions[..Math.Min(extensions.Length, BinaryPrimitives.ReadUInt16BigEndian(message[(extensionsAt - 2)..]))];
        }

        while (extensions.Length >= 4)
        {
            int type = BinaryPrimitives.ReadUInt16BigEndian(extensions);
            int length = BinaryPrimitives.ReadUInt16BigEndian(extensions[2..]);
            if (type == SupportedVersions)
            {
                return new TlsServerHello(true, suite); // servers send it only to choose 1.3
            }

            extensions = extensions[Math.Min(4 + length, extensions.Length)..];
        }

        return new TlsServerHello(false, suite);
    }
}
