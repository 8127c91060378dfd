namespace DataPlane.Fuzz;

/// <summary>
/// One entry point of the fuzzers: takes any bytes to one reader of what strangers, peers or files say, and judges what comes out.
/// </summary>
/// <remarks>
/// A target is deterministic, lives on one thread and keeps nothing from one run to the next that changes what the next one does: only so
/// does a file of the corpus, or one that the fuzzer has found, mean the same at any time.
/// </remarks>
internal interface IFuzzTarget : IDisposable
{
    /// <summary>What is read, in one line for the list.</summary>
    string Reads { get; }

    /// <summary>Inputs are cut here; the fuzzer makes none that are longer.</summary>
    int MaxInputBytes { get; }

    /// <summary>
    /// Managed bytes that one run may allocate whatever its input says, besides <see cref="FuzzRun.BytesPerInputByte"/> for each byte of
    /// it.
    /// </summary>
    long MaxAllocatedBytes { get; }

    /// <summary>One run; true when the reader took the input for what it reads, from its beginning to its end.</summary>
    /// <exception cref="OracleException">What the reader made of the input is wrong.</exception>
    /// <exception cref="Exception">Any other is a finding too: the reader threw what it does not declare.</exception>
    bool Run(ReadOnlySpan<byte> input);

    /// <summary>Most have nothing to give back.</summary>
    void IDisposable.Dispose()
    {
    }
}
