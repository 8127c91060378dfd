namespace DataPlane.Memory;

/// <summary>A run of contiguous pages of one block. On a page channel a run is one vector of a system call, however long it is.</summary>
/// <param name="Block">The block that contains the pages.</param>
/// <param name="FirstPage">Number of the first page in the block.</param>
/// <param name="PageCount">Number of pages.</param>
internal readonly record struct PageRun(RamBlock Block, long FirstPage, long PageCount)
{
    /// <summary>Bytes from the start of the block to the first page.</summary>
    public long Offset => FirstPage << TargetPage.Shift;

    /// <summary>Bytes in the run.</summary>
    public long Bytes => PageCount << TargetPage.Shift;

    /// <summary>Address of the first page in this process.</summary>
    public nint Address => Block.Address + (nint)Offset;
}
