namespace DataPlane;

/// <summary>The unit in which guest memory is tracked and sent: QEMU's target page, which is 4 KiB for all supported guests.</summary>
public static class TargetPage
{
    /// <summary>Bytes in a page.</summary>
    public const int Size = 1 << Shift;

    /// <summary>Binary logarithm of <see cref="Size"/>.</summary>
    public const int Shift = 12;
}
