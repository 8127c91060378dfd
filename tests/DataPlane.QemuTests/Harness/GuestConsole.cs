using System.Globalization;
using System.Net.Sockets;

namespace DataPlane.QemuTests.Harness;

/// <summary>One report of the guest: the passes over its window, and how often it has found all of its RAM right.</summary>
internal readonly record struct GuestReport(uint Pass, uint Round);

/// <summary>The guest's serial port.</summary>
internal sealed class GuestConsole
{
    private readonly Journal<string> _lines;

    public GuestConsole(Socket connection, string name)
    {
        _lines = new Journal<string>($"serial port of {name}");
        _ = PumpAsync(connection);
    }

    /// <summary>All complete reports so far. A guest that moved in the middle of a line leaves a piece of it on each side.</summary>
    public IReadOnlyList<GuestReport> Reports => [.. _lines.Snapshot().Select(Parse).OfType<GuestReport>()];

    public IReadOnlyList<string> Lines => _lines.Snapshot();

    public async Task WaitForFillAsync(CancellationToken token) =>
        Refuse(await _lines.WaitForAsync(
            line => line.StartsWith("DP fill ", StringComparison.Ordinal) || IsBad(line), "the guest's RAM is filled", token: token));

    /// <summary>Waits for the first report that fits; fails at once when the guest finds its memory wrong.</summary>
    public async Task<GuestReport> WaitForAsync(Func<GuestReport, bool> match, string what, CancellationToken token)
    {
        var line = await _lines.WaitForAsync(line => IsBad(line) || (Parse(line) is { } report && match(report)), what, token: token);
        Refuse(line);
        return Parse(line)!.Value;
    }

    private static bool IsBad(string line) => line.Contains("BAD", StringComparison.Ordinal);

    private static void Refuse(string line)
    {
        if (IsBad(line))
        {
            throw new InvalidDataException($"the guest found its memory damaged: {line}");
        }
    }

    private static GuestReport? Parse(string line) =>
        line.Split(' ') is ["DP", "pass", { Length: 8 } pass, "round", { Length: 8 } round]
        && uint.TryParse(pass, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var passNumber)
        && uint.TryParse(round, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var roundNumber)
            ? new GuestReport(passNumber, roundNumber)
            : null;

    private async Task PumpAsync(Socket connection)
    {
        try
        {
            using var reader = new StreamReader(new NetworkStream(connection, ownsSocket: true));
            while (await reader.ReadLineAsync() is { } line)
            {
                _lines.Add(line);
            }
        }
        catch (IOException)
        {
            // A killed QEMU resets the connection: an end like any other.
        }

        _lines.End();
    }
}
