using Microsoft.Extensions.ObjectPool;

namespace DataPlane.Guard.Relay;

/// <summary>Which pipes are kept, empty, for the next direction that has bytes to move, so that an idle channel holds none.</summary>
internal sealed class RelayPipePolicy : PooledObjectPolicy<RelayPipe>
{
    /// <summary>The most pipes that a pool keeps.</summary>
    private const int Kept = 8;

    /// <summary>Creates a pool; disposing of it closes the pipes that it keeps.</summary>
    internal static ObjectPool<RelayPipe> CreatePool() =>
        new DefaultObjectPoolProvider { MaximumRetained = Kept }.Create(new RelayPipePolicy());

    public override RelayPipe Create() => RelayPipe.Create();

    /// <summary>A pipe that still holds bytes of a lost channel is not kept, which closes it.</summary>
    public override bool Return(RelayPipe obj) => obj is { IsOpen: true, Count: 0 };
}
