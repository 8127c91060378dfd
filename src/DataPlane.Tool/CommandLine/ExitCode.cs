namespace DataPlane.Tool.CommandLine;

/// <summary>The exit code of the process, for the script that called it. The numbers are part of the command line's contract.</summary>
internal enum ExitCode
{
    /// <summary>The command did what it was asked.</summary>
    Done = 0,

    /// <summary>The command failed with one line on stderr.</summary>
    Failed = 1,

    /// <summary>The command line itself was wrong; nothing was started.</summary>
    Usage = 2,

    /// <summary>The outcome cannot be known from what is known here.</summary>
    CannotTell = 3,

    /// <summary>Ctrl-C or SIGTERM stopped the command, and everything is cleaned up.</summary>
    Interrupted = 130,
}
