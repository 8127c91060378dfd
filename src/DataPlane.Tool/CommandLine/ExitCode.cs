namespace DataPlane.Tool.CommandLine;

/// <summary>What the process says to the script that called it; the numbers are part of the command line's contract.</summary>
internal enum ExitCode
{
    /// <summary>The command did what it was asked (for the gate: pass).</summary>
    Done = 0,

    /// <summary>The command failed with one line on stderr (for the gate: fail).</summary>
    Failed = 1,

    /// <summary>The command line itself was wrong; nothing was started.</summary>
    Usage = 2,

    /// <summary>The question has no answer with what is known.</summary>
    CannotTell = 3,

    /// <summary>Stopped by Ctrl-C or SIGTERM, everything cleaned up.</summary>
    Interrupted = 130,
}
