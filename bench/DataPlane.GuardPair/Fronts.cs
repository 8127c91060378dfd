using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>The legs of the comparison.</summary>
internal static class Fronts
{
    public const string Direct = "direct";
    public const string Guard = "guard";

    public static IReadOnlyList<string> All { get; } = [Direct, Guard, "haproxy", "socat"];

    public static IFront Create(string leg, WorkFolder work) => leg switch
    {
        Direct => new DirectFront(),
        Guard => new GuardFront(work),
        "haproxy" => new ProgramFront("haproxy", (listen, to) => ["-db", "-f", WriteHaproxy(work["haproxy.cfg"], listen, to)]),
        "socat" => new ProgramFront(
            "socat",
            (listen, to) => ["-b", "524288", $"TCP-LISTEN:{listen},bind=127.0.0.1,reuseaddr,fork,nodelay", $"TCP:127.0.0.1:{to},nodelay"]),
        _ => throw new ArgumentException($"no leg {leg}", nameof(leg)),
    };

    private static string WriteHaproxy(string path, int listen, int to)
    {
        File.WriteAllText(
            path,
            $"""
            global
                nbthread 2
            defaults
                mode tcp
                option splice-auto
                timeout connect 10s
                timeout client 1h
                timeout server 1h
            frontend front
                bind 127.0.0.1:{listen}
                default_backend back
            backend back
                server qemu 127.0.0.1:{to}

            """);
        return path;
    }
}
