using System.Globalization;
using DataPlane.TestSupport;

namespace DataPlane.FaultTests;

internal enum FaultKind
{
    Reset,
    Close,
    Stall,
    Corrupt,
    Pieces,
    Delay,
}

/// <summary>One fault, chosen by a seed: what happens to which connection, in which direction, at which byte.</summary>
/// <param name="Seed">Chooses everything else.</param>
/// <param name="Channels">Multifd channels of the migration.</param>
/// <param name="Kind">What happens.</param>
/// <param name="Connection">Which connection is hit: 0 is main, others come in the order of their arrival.</param>
/// <param name="Backward">Hits what the destination says.</param>
/// <param name="Offset">The byte of that direction.</param>
/// <param name="Value">With <see cref="FaultKind.Pieces"/> their size, with <see cref="FaultKind.Delay"/> its milliseconds.</param>
internal sealed record FaultCase(int Seed, int Channels, FaultKind Kind, int Connection, bool Backward, long Offset, int Value)
{
    /// <summary>Every method has its share of the seeds.</summary>
    internal CompressionMethod Compression => Channels == 0 ? CompressionMethod.None : (CompressionMethod)(Seed % 3);

    /// <summary>PONG and SHUT.</summary>
    private const int WordBytes = 16;

    /// <summary>Ends well whatever the machine is busy with: nothing is lost, only late.</summary>
    internal bool IsHarmless => Kind is FaultKind.Pieces or FaultKind.Delay;

    internal static FaultCase Choose(int seed, Func<int, CleanRun> cleanRun)
    {
        var random = new Random(seed);
        var channels = random.Next(2) * 4;
        var kind = (FaultKind)random.Next(6);
        var connection = random.Next(channels + 1);
        var backward = connection == 0 && random.Next(4) == 0;
        var clean = cleanRun(channels);
        var length = backward ? WordBytes : connection == 0 ? clean.MainBytes : clean.MultifdBytes;
        var offset = ChooseOffset(random, length);
        if (kind == FaultKind.Corrupt && backward)
        {
            // The value of SHUT is one bit of meaning without any redundancy: a network that changes it makes two owners, whatever we do.
            offset %= WordBytes - sizeof(int);
        }

        var value = kind == FaultKind.Delay ? random.Next(5, 60) : random.GetItems([1, 3, 61, 1021, 4093], 1)[0];
        if (kind == FaultKind.Pieces && value < 61 && length > 64 * 1024)
        {
            value += 60;
        }

        return new FaultCase(seed, channels, kind, connection, backward, offset, value);
    }

    internal FaultPlan PlanFor(int connection)
    {
        if (connection != Connection)
        {
            return FaultPlan.None;
        }

        var fault = Kind switch
        {
            FaultKind.Reset => new Fault { CutAt = Offset },
            FaultKind.Close => new Fault { CutAt = Offset, CutByReset = false },
            FaultKind.Stall or FaultKind.Delay => new Fault { StallAt = Offset },
            FaultKind.Corrupt => new Fault { CorruptAt = Offset },
            _ => new Fault { PieceBytes = Value },
        };
        return Backward ? new FaultPlan { Backward = fault } : new FaultPlan { Forward = fault };
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"seed {Seed}: {Kind} on connection {Connection} of 1+{Channels}, "
            + $"{(Backward ? "backward" : "forward")}, at byte {Offset}, value {Value}");

    /// <summary>Beginnings and ends hold what decides; pages are most of the bytes between.</summary>
    private static long ChooseOffset(Random random, long length) => random.Next(4) switch
    {
        0 => random.NextInt64(Math.Min(length, 512)),
        1 => length - 1 - random.NextInt64(Math.Min(length, 512)),
        _ => random.NextInt64(length),
    };
}

/// <summary>What an undisturbed migration of the same guest sends: on main always the same, on a multifd channel about this.</summary>
internal sealed record CleanRun(long MainBytes, long MultifdBytes);
