using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.TestSupport;

/// <summary>Native memory for bulk calls, standing in for guest memory.</summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private void* _memory;

    internal NativeBuffer(int length)
    {
        Length = length;
        _memory = NativeMemory.AllocZeroed((nuint)Math.Max(length, 1));
    }

    internal int Length { get; }

    internal Span<byte> Span => new(_memory, Length);

    internal IoVec Vector(int offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)offset + length, Length);
        return new IoVec((nint)_memory + offset, (nuint)length);
    }

    internal IoVec Whole => Vector(0, Length);

    /// <summary>Bytes that differ from place to place and from seed to seed.</summary>
    internal NativeBuffer Fill(int seed)
    {
        new Random(seed).NextBytes(Span);
        return this;
    }

    public void Dispose()
    {
        NativeMemory.Free(_memory);
        _memory = null;
    }
}
