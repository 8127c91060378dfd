using System.Text;

namespace DataPlane.Transport.Tls;

/// <summary>
/// The keys of a file of QEMU's <c>tls-creds-psk</c> (<c>keys.psk</c>), which has a line <c>user:key</c> for each user, with the key in
/// hexadecimal. Immutable; thread-safe.
/// </summary>
internal sealed class TlsSharedKeys
{
    /// <summary>The user that QEMU takes where none is given.</summary>
    public const string DefaultUser = "qemu";

    private const int MaxFileBytes = 1 << 20;
    private const int MaxKeyBytes = 256; // PSK_MAX_PSK_LEN
    private const int MaxUserBytes = 128; // PSK_MAX_IDENTITY_LEN of older libraries

    private readonly Dictionary<string, byte[]> _keys = new(StringComparer.Ordinal);

    private TlsSharedKeys(string path) => Path = path;

    public string Path { get; }

    /// <exception cref="TlsCredentialsException">
    /// The file cannot be read, or has a line that is no key; the message never contains a key.
    /// </exception>
    public static TlsSharedKeys Read(string path)
    {
        TlsSharedKeys keys = new(path);
        var number = 0;
        foreach (var raw in TlsFiles.ReadText(path, MaxFileBytes).Split('\n'))
        {
            number++;
            var line = raw.TrimEnd('\r');
            if (line.Length == 0)
            {
                continue;
            }

            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon <= 0 || Encoding.UTF8.GetByteCount(line.AsSpan(0, colon)) > MaxUserBytes)
            {
                throw new TlsCredentialsException(
                    $"'{path}', line {number}: 'user:key' was expected, with a user of 1 to {MaxUserBytes} bytes");
            }

            if (!keys._keys.TryAdd(line[..colon], ParseKey(path, number, line[(colon + 1)..])))
            {
                throw new TlsCredentialsException($"'{path}', line {number}: this user has a key already");
            }
        }

        return keys._keys.Count > 0 ? keys : throw new TlsCredentialsException($"'{path}' holds no key");
    }

    /// <summary>The user's key; <see langword="null"/> when there is none.</summary>
    public byte[]? Find(string user) => _keys.GetValueOrDefault(user);

    private static byte[] ParseKey(string path, int number, string text)
    {
        try
        {
            var key = Convert.FromHexString(text);
            if (key.Length is > 0 and <= MaxKeyBytes)
            {
                return key;
            }
        }
        catch (FormatException)
        {
            // Reported below; the runtime's message would contain the key.
        }

        throw new TlsCredentialsException($"'{path}', line {number}: the key must be 1 to {MaxKeyBytes} bytes in hexadecimal");
    }
}
