using System.Runtime.InteropServices;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuPair;

/// <summary>
/// Guest memory as real ones are mixed, in runs of 1 to 64 pages: 30 % zero, 25 % text, 20 % code, 25 % incompressible. Text is the XML
/// documentation that comes
/// with the SDK, code its libraries; a seed chooses the order and makes the random bytes, so it is the same memory wherever the same SDK
/// is.
/// </summary>
internal sealed class MixedMemory
{
    /// <summary>Where it begins in the guest: below is what the board needs.</summary>
    public const int Address = 1 << 20;

    private const int PageBytes = 4096;
    private const int LongestRun = 64;
    private const int SourceBytes = 256 << 20;

    private MixedMemory(string path) => Path = path;

    public string Path { get; }

    /// <summary>How a QEMU gets it, before its guest runs.</summary>
    public IReadOnlyList<string> Arguments => ["-device", $"loader,file={Path},addr=0x{Address:x},force-raw=on"];

    public static MixedMemory Write(int ramMiB, WorkFolder work)
    {
        var dotnet = new DirectoryInfo(RuntimeEnvironment.GetRuntimeDirectory()).Parent!.Parent!.Parent!.FullName;
        var text = new Repeated(Read(System.IO.Path.Combine(dotnet, "packs"), "*.xml"));
        var code = new Repeated(Read(System.IO.Path.Combine(dotnet, "shared"), "*.dll"));
        var random = new Random(1);
        var buffer = new byte[LongestRun * PageBytes];
        var memory = new MixedMemory(work["memory"]);
        using var file = File.Create(memory.Path);
        for (var left = ((long)ramMiB << 20) - Address; left > 0;)
        {
            var run = buffer.AsSpan(0, (int)Math.Min(left, random.Next(1, LongestRun + 1) * PageBytes));
            switch (random.Next(100))
            {
                case < 30:
                    run.Clear();
                    break;
                case < 55:
                    text.Take(run);
                    break;
                case < 75:
                    code.Take(run);
                    break;
                default:
                    random.NextBytes(run);
                    break;
            }

            file.Write(run);
            left -= run.Length;
        }

        return memory;
    }

    private static byte[] Read(string folder, string pattern)
    {
        using var bytes = new MemoryStream();
        foreach (var path in Directory.GetFiles(folder, pattern, SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            if (bytes.Length < SourceBytes)
            {
                bytes.Write(File.ReadAllBytes(path));
            }
        }

        return bytes.Length > 0 ? bytes.ToArray()
            : throw new FileNotFoundException($"no {pattern} under {folder}: the memory is mixed from the SDK's files");
    }

    private sealed class Repeated(byte[] bytes)
    {
        private int _at;

        public void Take(Span<byte> target)
        {
            for (int done; target.Length > 0; target = target[done..])
            {
                done = Math.Min(target.Length, bytes.Length - _at);
                bytes.AsSpan(_at, done).CopyTo(target);
                _at = (_at + done) % bytes.Length;
            }
        }
    }
}
